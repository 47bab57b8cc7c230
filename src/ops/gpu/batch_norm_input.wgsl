// Gradients of batch normalisation's input, and of its residual: grad_output where ReLU let
// through.

struct Shape {
    count: u32, // in fours
    row: u32, // threads in a row of the dispatch
    channels: u32, // in fours
    relu: u32,
    residual: u32, // whether there is one
}

@group(0) @binding(0) var<storage, {{ read }}> grad_output: array<vec4f>;
@group(0) @binding(1) var<storage, {{ read }}> x: array<vec4f>;
@group(0) @binding(2) var<storage, {{ read }}> y: array<vec4f>;
@group(0) @binding(3) var<storage, {{ read }}> mean: array<vec4f>;
@group(0) @binding(4) var<storage, {{ read }}> factors: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> grad_x: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> grad_residual: array<vec4f>;
@group(0) @binding(7) var<uniform> shape: Shape;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3u) {
    let i = id.y * shape.row + id.x;
    if (i >= shape.count) {
        return;
    }
    let n = shape.channels;
    let channel = i % n;
    var g = grad_output[i];
    if (shape.relu != 0u) {
        g = select(vec4f(), g, y[i] > vec4f());
    }
    if (shape.residual != 0u) {
        grad_residual[i] = g;
    }
    grad_x[i] = factors[channel] * g + factors[n + channel] * (x[i] - mean[channel]) + factors[2u * n + channel];
}
