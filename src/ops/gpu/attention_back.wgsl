// Gradients of attention's queries (part 0), keys (1) and values (2), given the probabilities and
// the gradient of the scores: four numbers of a row per thread. A row of the output has one of
// them, or all three.

struct Shape {
    count: u32,
    row: u32, // threads in a row of workgroups
    queries: u32,
    keys: u32,
    width: u32, // here and below in fours
    head: u32,
    query_row: u32,
    key_row: u32,
    key_start: u32,
    columns: u32, // of the output
    part: u32, // of its first column
}

@group(0) @binding(0) var<storage, {{ read }}> queries: array<vec4f>;
@group(0) @binding(1) var<storage, {{ read }}> keys: array<vec4f>;
@group(0) @binding(2) var<storage, {{ read }}> grad_output: array<vec4f>;
@group(0) @binding(3) var<storage, {{ read }}> probabilities: array<f32>;
@group(0) @binding(4) var<storage, {{ read }}> grad_scores: array<f32>;
@group(0) @binding(5) var<storage, read_write> grad: array<vec4f>;
@group(0) @binding(6) var<uniform> shape: Shape;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3u) {
    let index = id.y * shape.row + id.x;
    if (index >= shape.count) {
        return;
    }
    let part = shape.part + index % shape.columns / shape.width;
    let column = index % shape.columns % shape.width;
    let rows = select(shape.keys, shape.queries, part == 0u);
    let row = index / shape.columns % rows;
    let batch = index / shape.columns / rows;
    let heads = shape.width / shape.head;
    let scores = (batch * heads + column / shape.head) * shape.queries * shape.keys;
    var sum = vec4f();
    if (part == 0u) {
        let start = batch * shape.keys * shape.key_row + shape.key_start + column;
        for (var key = 0u; key < shape.keys; key++) {
            sum += grad_scores[scores + row * shape.keys + key] * keys[start + key * shape.key_row];
        }
    } else if (part == 1u) {
        let start = batch * shape.queries * shape.query_row + column;
        for (var query = 0u; query < shape.queries; query++) {
            sum += grad_scores[scores + query * shape.keys + row] * queries[start + query * shape.query_row];
        }
    } else {
        let start = batch * shape.queries * shape.width + column;
        for (var query = 0u; query < shape.queries; query++) {
            sum += probabilities[scores + query * shape.keys + row] * grad_output[start + query * shape.width];
        }
    }
    grad[index] = sum;
}
