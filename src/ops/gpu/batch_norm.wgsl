// (x - mean) / sqrt(variance + epsilon) * gamma + beta + residual, then ReLU if asked for.

struct Shape {
    count: u32, // in fours
    row: u32, // threads in a row of the dispatch
    channels: u32, // in fours
    residual: u32,
    relu: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<storage, {{ read }}> x: array<vec4f>;
@group(0) @binding(1) var<storage, {{ read }}> mean: array<vec4f>;
@group(0) @binding(2) var<storage, {{ read }}> variance: array<vec4f>;
@group(0) @binding(3) var<storage, {{ read }}> gamma: array<vec4f>;
@group(0) @binding(4) var<storage, {{ read }}> beta: array<vec4f>;
@group(0) @binding(5) var<storage, {{ read }}> residual: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(7) var<uniform> shape: Shape;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3u) {
    let i = id.y * shape.row + id.x;
    if (i >= shape.count) {
        return;
    }
    let channel = i % shape.channels;
    let scale = inverseSqrt(variance[channel] + shape.epsilon) * gamma[channel];
    var v = (x[i] - mean[channel]) * scale + beta[channel];
    if (shape.residual != 0u) {
        v += residual[i];
    }
    if (shape.relu != 0u) {
        v = max(v, vec4f());
    }
    y[i] = v;
}
