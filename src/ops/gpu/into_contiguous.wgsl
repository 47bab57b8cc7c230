// Copies a strided tensor of up to eight axes into contiguous order.

struct Shape {
    // Sizes and strides of the axes, innermost first.
    sizes: array<vec4u, 2>,
    steps: array<vec4u, 2>,
    count: u32,
    row: u32, // threads per row of the dispatch
}

@group(0) @binding(0) var<storage, {{ read }}> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> shape: Shape;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3u) {
    let i = id.y * shape.row + id.x;
    if (i >= shape.count) {
        return;
    }
    var rest = i;
    var at = 0u;
    for (var axis = 0u; axis < 8u; axis++) {
        let size = shape.sizes[axis / 4u][axis % 4u];
        at += rest % size * shape.steps[axis / 4u][axis % 4u];
        rest /= size;
    }
    y[i] = x[at];
}
