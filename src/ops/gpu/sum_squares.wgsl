// Adds the squares of x to partial sums, one for each thread.

struct Shape {
    count: u32,
    parts: u32,
    added: u32, // whether there are sums to add to
}

@group(0) @binding(0) var<storage, {{ read }}> x: array<f32>;
@group(0) @binding(1) var<storage, {{ read }}> before: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> shape: Shape;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3u) {
    let part = id.x;
    if (part >= shape.parts) {
        return;
    }
    var sum = 0.0;
    for (var i = part; i < shape.count; i += shape.parts) {
        sum += x[i] * x[i];
    }
    if (shape.added != 0u) {
        sum += before[part];
    }
    y[part] = sum;
}
