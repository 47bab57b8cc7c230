// Gathers rows of a table [count, width], plus positions [length, width], repeated, if
// given. An f16 table is bound as integers and unpacked here, without the f16 feature.

struct Shape {
    rows: u32,
    width: u32, // in fours
    count: u32,
    length: u32, // 0 without positions
}

@group(0) @binding(0) var<storage, {{ read }}> table: array<{{ table }}>;
@group(0) @binding(1) var<storage, {{ read }}> ids: array<i32>;
@group(0) @binding(2) var<storage, {{ read }}> positions: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<uniform> shape: Shape;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3u) {
    if (id.x >= shape.width || id.y >= shape.rows) {
        return;
    }
    let row = min(u32(ids[id.y]), shape.count - 1u);
    let v = table[row * shape.width + id.x];
    var sum = {{ as_table }};
    if (shape.length != 0u) {
        sum += positions[id.y % shape.length * shape.width + id.x];
    }
    y[id.y * shape.width + id.x] = sum;
}
