// By channel and slice of rows, what the gradients of batch normalisation need: the sums of
// grad_output and of its product with the deviation from the mean.

struct Shape {
    rows: u32,
    channels: u32, // in fours
    slice: u32, // rows of a slice
    slices: u32,
    relu: u32,
}

@group(0) @binding(0) var<storage, {{ read }}> grad_output: array<vec4f>;
@group(0) @binding(1) var<storage, {{ read }}> x: array<vec4f>;
@group(0) @binding(2) var<storage, {{ read }}> y: array<vec4f>;
@group(0) @binding(3) var<storage, {{ read }}> mean: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> sums: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> products: array<vec4f>;
@group(0) @binding(6) var<uniform> shape: Shape;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3u) {
    let channel = id.x;
    if (channel >= shape.channels || id.y >= shape.slices) {
        return;
    }
    let first = id.y * shape.slice;
    let end = min(first + shape.slice, shape.rows);
    var sum = vec4f();
    var product = vec4f();
    for (var row = first; row < end; row++) {
        let i = row * shape.channels + channel;
        var g = grad_output[i];
        if (shape.relu != 0u) {
            g = select(vec4f(), g, y[i] > vec4f());
        }
        sum += g;
        product += g * (x[i] - mean[channel]);
    }
    sums[id.y * shape.channels + channel] = sum;
    products[id.y * shape.channels + channel] = product;
}
