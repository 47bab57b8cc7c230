// Gradient of a convolution's weights, [kernel² * channels, out], by slices of output places:
// each thread has {{ vectors }} vectors of channels, of a place in the window, by eight columns.
//
// Lines with {v} are unrolled over the vectors, lines with {s} over the channels of a vector,
// four or one, and lines with {c} over the columns in fours.

struct Shape {
    rows: u32, // output places
    columns: u32, // in fours
    height: u32,
    width: u32,
    channels: u32, // in vectors of x
    out_height: u32,
    out_width: u32,
    kernel: u32,
    stride: u32,
    slice: u32, // output places of a slice
}

@group(0) @binding(0) var<storage, {{ read }}> x: array<{{ input }}>;
@group(0) @binding(1) var<storage, {{ read }}> grad_output: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(3) var<uniform> shape: Shape;

fn input(i: u32) -> vec4f {
    let v = x[i];
    return {{ as_input }};
}

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3u) {
    let column = 2u * id.x;
    let seen = {{ vectors }}u * id.y; // place in the window, and channels
    let patches = shape.kernel * shape.kernel * shape.channels;
    if (column >= shape.columns || seen >= patches) {
        return;
    }
    let padding = shape.kernel / 2u;
    let place = seen / shape.channels;
    let channel = seen % shape.channels;
    // Wraps to a huge number in the padding above and left.
    let down = place / shape.kernel - padding;
    let right = place % shape.kernel - padding;
    let first = id.z * shape.slice;
    let end = min(first + shape.slice, shape.rows);
    let column{c} = min(column + {c}u, shape.columns - 1u);
    var sum{v}_{s}_{c} = vec4f();
    // Counted on, since divisions are slow.
    var left = first % shape.out_width;
    var top = first / shape.out_width % shape.out_height;
    var picture = first / (shape.out_width * shape.out_height) * shape.height;
    for (var row = first; row < end; row++) {
        let from_top = top * shape.stride + down;
        let from_left = left * shape.stride + right;
        if (from_top < shape.height && from_left < shape.width) {
            let at = ((picture + from_top) * shape.width + from_left) * shape.channels + channel;
            let a{v} = input(at + {v}u);
            let g{c} = grad_output[row * shape.columns + column{c}];
            sum{v}_{s}_{c} += a{v}[{s}] * g{c};
        }
        left++;
        if (left == shape.out_width) {
            left = 0u;
            top++;
        }
        if (top == shape.out_height) {
            top = 0u;
            picture += shape.height;
        }
    }
    let at = (id.z * patches + seen) * {{ step }}u * shape.columns + column;
    y[at + ({v}u * {{ step }}u + {s}u) * shape.columns] = sum{v}_{s}_0;
    if (column + 1u < shape.columns) {
        y[at + ({v}u * {{ step }}u + {s}u) * shape.columns + 1u] = sum{v}_{s}_1;
    }
}
