// Mean and variance of each channel from those of slices of rows (Chan et al. 1979).

struct Shape {
    rows: u32,
    channels: u32, // in fours
    slice: u32, // rows of a slice
    slices: u32,
}

@group(0) @binding(0) var<storage, {{ read }}> means: array<vec4f>;
@group(0) @binding(1) var<storage, {{ read }}> squares: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> mean: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> variance: array<vec4f>;
@group(0) @binding(4) var<uniform> shape: Shape;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3u) {
    let channel = id.x;
    if (channel >= shape.channels) {
        return;
    }
    var count = 0.0;
    var average = vec4f();
    var square = vec4f();
    for (var i = 0u; i < shape.slices; i++) {
        let more = f32(min(shape.slice, shape.rows - i * shape.slice));
        let off = means[i * shape.channels + channel] - average;
        let all = count + more;
        average += off * (more / all);
        square += squares[i * shape.channels + channel] + off * off * (count * more / all);
        count = all;
    }
    mean[channel] = average;
    variance[channel] = square / count;
}
