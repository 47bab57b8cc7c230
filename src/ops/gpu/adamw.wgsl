// A step of AdamW: values, first and second moments before and after.

struct Shape {
    count: u32,
    row: u32, // threads in a row of the dispatch
    factor: f32, // of the gradient
    beta1: f32,
    beta2: f32,
    correction2: f32,
    epsilon: f32,
    rate: f32, // with the correction of the first moment
    kept: f32, // of the values, after their decay
}

@group(0) @binding(0) var<storage, {{ read }}> values: array<f32>;
@group(0) @binding(1) var<storage, {{ read }}> gradient: array<f32>;
@group(0) @binding(2) var<storage, {{ read }}> first: array<f32>;
@group(0) @binding(3) var<storage, {{ read }}> second: array<f32>;
@group(0) @binding(4) var<storage, read_write> new_values: array<f32>;
@group(0) @binding(5) var<storage, read_write> new_first: array<f32>;
@group(0) @binding(6) var<storage, read_write> new_second: array<f32>;
@group(0) @binding(7) var<uniform> shape: Shape;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3u) {
    let i = id.y * shape.row + id.x;
    if (i >= shape.count) {
        return;
    }
    let g = gradient[i] * shape.factor;
    let m = first[i] * shape.beta1 + g * (1.0 - shape.beta1);
    let v = second[i] * shape.beta2 + g * g * (1.0 - shape.beta2);
    new_values[i] = values[i] * shape.kept - m / (sqrt(v * shape.correction2) + shape.epsilon) * shape.rate;
    new_first[i] = m;
    new_second[i] = v;
}
