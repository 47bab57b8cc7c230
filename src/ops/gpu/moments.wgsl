// Mean and sum of squared deviations of each channel of x, [rows, channels], by slices of rows.

struct Shape {
    rows: u32,
    channels: u32, // in fours
    slice: u32, // rows of a slice
    slices: u32,
}

@group(0) @binding(0) var<storage, {{ read }}> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> means: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> squares: array<vec4f>;
@group(0) @binding(3) var<uniform> shape: Shape;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3u) {
    let channel = id.x;
    if (channel >= shape.channels || id.y >= shape.slices) {
        return;
    }
    let first = id.y * shape.slice;
    let end = min(first + shape.slice, shape.rows);
    var sum = vec4f();
    for (var row = first; row < end; row++) {
        sum += x[row * shape.channels + channel];
    }
    let mean = sum / f32(end - first);
    sum = vec4f();
    for (var row = first; row < end; row++) {
        let off = x[row * shape.channels + channel] - mean;
        sum += off * off;
    }
    means[id.y * shape.channels + channel] = mean;
    squares[id.y * shape.channels + channel] = sum;
}
