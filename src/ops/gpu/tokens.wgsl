// Prepends a token, given or the mean, to [batch, places, width], and adds positions
// [places + 1, width].

struct Shape {
    rows: u32, // of the output
    width: u32, // in fours
    places: u32,
    given: u32,
}

@group(0) @binding(0) var<storage, {{ read }}> x: array<vec4f>;
@group(0) @binding(1) var<storage, {{ read }}> positions: array<vec4f>;
@group(0) @binding(2) var<storage, {{ read }}> first: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<uniform> shape: Shape;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3u) {
    if (id.x >= shape.width || id.y >= shape.rows) {
        return;
    }
    let token = id.y % (shape.places + 1u);
    let start = id.y / (shape.places + 1u) * shape.places;
    var v = vec4f();
    if (token != 0u) {
        v = x[(start + token - 1u) * shape.width + id.x];
    } else if (shape.given != 0u) {
        v = first[id.x];
    } else {
        for (var place = 0u; place < shape.places; place++) {
            v += x[(start + place) * shape.width + id.x];
        }
        v /= f32(shape.places);
    }
    y[id.y * shape.width + id.x] = v + positions[token * shape.width + id.x];
}
