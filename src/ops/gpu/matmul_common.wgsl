// Bindings and epilogue of the kernels for matmuls and convolutions:
// activation(x w * scale + bias + residual), with x of [batch, height, width, channels].

struct Shape {
    rows: u32,
    columns: u32, // in fours
    height: u32,
    width: u32,
    channels: u32, // in vectors of x
    out_height: u32,
    out_width: u32,
    kernel: u32,
    stride: u32,
    scale: u32,
    bias: u32,
    residual: u32,
    activation: u32,
}

@group(0) @binding(0) var<storage, {{ read }}> x: array<{{ input }}>;
@group(0) @binding(1) var<storage, {{ read }}> w: array<{{ weight }}>;
@group(0) @binding(2) var<storage, {{ read }}> scale: array<vec4f>;
@group(0) @binding(3) var<storage, {{ read }}> bias: array<vec4f>;
@group(0) @binding(4) var<storage, {{ read }}> residual: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(6) var<uniform> shape: Shape;

fn epilogue(row: u32, column: u32, sum: vec4f) {
    let at = row * shape.columns + column;
    var v = sum;
    if (shape.scale != 0u) {
        v *= scale[column];
    }
    if (shape.bias != 0u) {
        v += bias[column];
    }
    if (shape.residual != 0u) {
        v += residual[at];
    }
    switch shape.activation {
        case 1u: { v /= 1.0 + exp(min(-1.702 * v, vec4(80.0))); }
        case 2u: { v *= 0.5 + 0.5 * erf(v * 0.70710678); }
        case 3u: { v = max(v, vec4(0.0)); }
        // The tanh approximation of GELU: the sigmoid of twice its argument.
        case 4u: { v /= 1.0 + exp(clamp(-1.5957691 * v * (1.0 + 0.044715 * v * v), vec4(-80.0), vec4(80.0))); }
        default: {}
    }
    y[at] = v;
}

// Abramowitz and Stegun 7.1.26: off by 1.5e-7 at most.
fn erf(x: vec4f) -> vec4f {
    let t = 1.0 / (1.0 + 0.3275911 * abs(x));
    let p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
    return sign(x) * (1.0 - p * exp(-x * x));
}

fn input(i: u32) -> vec4f {
    let v = x[i];
    return {{ as_input }};
}

fn weight(i: u32) -> vec4f {
    let v = w[i];
    return {{ as_weight }};
}
