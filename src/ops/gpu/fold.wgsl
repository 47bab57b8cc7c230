// Scale or shift of batch normalisation in evaluation mode.

struct Shape {
    channels: u32,
    epsilon: f32,
    adds: u32,
}

@group(0) @binding(0) var<storage, {{ read }}> gamma: array<f32>;
@group(0) @binding(1) var<storage, {{ read }}> beta: array<f32>;
@group(0) @binding(2) var<storage, {{ read }}> mean: array<f32>;
@group(0) @binding(3) var<storage, {{ read }}> variance: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<uniform> shape: Shape;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3u) {
    if (id.x >= shape.channels) {
        return;
    }
    let scale = gamma[id.x] / sqrt(variance[id.x] + shape.epsilon);
    y[id.x] = select(scale, beta[id.x] - mean[id.x] * scale, shape.adds != 0u);
}
