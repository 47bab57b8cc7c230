// Gradients of gamma and beta from the sums of slices, and the factors of the gradient of x:
// a * grad_output + b * (x - mean) + c.

struct Shape {
    rows: u32,
    channels: u32, // in fours
    slices: u32,
    batch_statistics: u32, // else mean and variance are constants
    epsilon: f32,
}

@group(0) @binding(0) var<storage, {{ read }}> sums: array<vec4f>;
@group(0) @binding(1) var<storage, {{ read }}> products: array<vec4f>;
@group(0) @binding(2) var<storage, {{ read }}> variance: array<vec4f>;
@group(0) @binding(3) var<storage, {{ read }}> gamma: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> grad_gamma: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> grad_beta: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> factors: array<vec4f>; // a, b and c
@group(0) @binding(7) var<uniform> shape: Shape;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3u) {
    let channel = id.x;
    let n = shape.channels;
    if (channel >= n) {
        return;
    }
    var sum = vec4f();
    var product = vec4f();
    for (var i = 0u; i < shape.slices; i++) {
        sum += sums[i * n + channel];
        product += products[i * n + channel];
    }
    let inv_std = inverseSqrt(variance[channel] + shape.epsilon);
    let a = gamma[channel] * inv_std;
    grad_gamma[channel] = product * inv_std;
    grad_beta[channel] = sum;
    factors[channel] = a;
    if (shape.batch_statistics != 0u) {
        let count = f32(shape.rows);
        factors[n + channel] = -a * inv_std * inv_std * product / count;
        factors[2u * n + channel] = -a * sum / count;
    } else {
        factors[n + channel] = vec4f();
        factors[2u * n + channel] = vec4f();
    }
}
