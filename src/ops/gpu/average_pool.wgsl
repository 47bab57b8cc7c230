// Average pooling: [batch, height, width, channels] to [batch, out_height, out_width,
// channels].

struct Shape {
    places: u32, // of the output
    channels: u32, // in fours
    height: u32,
    width: u32,
    out_height: u32,
    out_width: u32,
    side: u32,
}

@group(0) @binding(0) var<storage, {{ read }}> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> shape: Shape;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3u) {
    let channel = id.x;
    let place = id.y;
    if (channel >= shape.channels || place >= shape.places) {
        return;
    }
    let picture = place / (shape.out_width * shape.out_height) * shape.height;
    let top = picture + place / shape.out_width % shape.out_height * shape.side;
    let left = place % shape.out_width * shape.side;
    var sum = vec4f();
    for (var i = 0u; i < shape.side; i++) {
        for (var j = 0u; j < shape.side; j++) {
            sum += x[((top + i) * shape.width + left + j) * shape.channels + channel];
        }
    }
    y[place * shape.channels + channel] = sum / f32(shape.side * shape.side);
}
