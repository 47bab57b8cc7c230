// Rows of a table [count, width] in half precision. Kept as whole numbers and
// unpacked here, it needs no GPU that computes in half precision.

struct Shape {
    rows: u32,
    width: u32, // in fours
    count: u32,
}

@group(0) @binding(0) var<storage, {{ read }}> table: array<vec2u>;
@group(0) @binding(1) var<storage, {{ read }}> ids: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(3) var<uniform> shape: Shape;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3u) {
    if (id.x >= shape.width || id.y >= shape.rows) {
        return;
    }
    let row = min(u32(ids[id.y]), shape.count - 1u);
    let v = table[row * shape.width + id.x];
    y[id.y * shape.width + id.x] = vec4(unpack2x16float(v.x), unpack2x16float(v.y));
}
