// Sums of slices of rows: [rows, columns] to [slices, columns].

struct Shape {
    rows: u32,
    columns: u32, // in fours
    slice: u32, // rows of a slice
    slices: u32,
}

@group(0) @binding(0) var<storage, {{ read }}> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> shape: Shape;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3u) {
    let column = id.x;
    if (column >= shape.columns || id.y >= shape.slices) {
        return;
    }
    let first = id.y * shape.slice;
    let end = min(first + shape.slice, shape.rows);
    var sum = vec4f();
    for (var row = first; row < end; row++) {
        sum += x[row * shape.columns + column];
    }
    y[id.y * shape.columns + column] = sum;
}
