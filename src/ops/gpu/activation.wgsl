// activation(x), or its gradient: grad_output * activation'(x).

struct Shape {
    count: u32, // in fours
    row: u32, // threads in a row of the dispatch
    activation: u32,
    backward: u32,
}

@group(0) @binding(0) var<storage, {{ read }}> x: array<vec4f>;
@group(0) @binding(1) var<storage, {{ read }}> grad_output: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(3) var<uniform> shape: Shape;

// Abramowitz and Stegun 7.1.26: off by 1.5e-7 at most.
fn erf(x: vec4f) -> vec4f {
    let t = 1.0 / (1.0 + 0.3275911 * abs(x));
    let p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
    return sign(x) * (1.0 - p * exp(-x * x));
}

fn sigmoid(x: vec4f) -> vec4f {
    return 1.0 / (1.0 + exp(clamp(-x, vec4(-80.0), vec4(80.0))));
}

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3u) {
    let i = id.y * shape.row + id.x;
    if (i >= shape.count) {
        return;
    }
    let v = x[i];
    // What v is multiplied with, and the slope of the product.
    var gate = vec4(1.0);
    var slope = vec4(1.0);
    switch shape.activation {
        case 1u: {
            gate = sigmoid(1.702 * v);
            slope = gate + 1.702 * v * gate * (1.0 - gate);
        }
        case 2u: {
            gate = 0.5 + 0.5 * erf(v * 0.70710678);
            slope = gate + 0.39894228 * v * exp(-0.5 * v * v);
        }
        case 3u: {
            gate = select(vec4f(), vec4(1.0), v > vec4f());
            slope = gate;
        }
        // The tanh approximation of GELU: the sigmoid of twice its argument.
        case 4u: {
            gate = sigmoid(1.5957691 * v * (1.0 + 0.044715 * v * v));
            slope = gate + v * gate * (1.0 - gate) * 1.5957691 * (1.0 + 0.134145 * v * v);
        }
        default: {}
    }
    if (shape.backward != 0u) {
        y[i] = grad_output[i] * slope;
    } else {
        y[i] = v * gate;
    }
}
