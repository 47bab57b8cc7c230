// Probabilities of attention, and the gradient of its scores: one query of one head per
// workgroup, whose lanes share the keys. The gradient is that of the products of query and key,
// before the scale.

struct Shape {
    queries: u32,
    keys: u32,
    width: u32, // here and below in fours
    head: u32,
    query_row: u32,
    key_row: u32,
    key_start: u32,
    value_start: u32,
    causal: u32,
    scale: f32,
}

@group(0) @binding(0) var<storage, {{ read }}> queries: array<vec4f>;
@group(0) @binding(1) var<storage, {{ read }}> keys: array<vec4f>;
@group(0) @binding(2) var<storage, {{ read }}> values: array<vec4f>;
@group(0) @binding(3) var<storage, {{ read }}> grad_output: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> probabilities: array<f32>;
@group(0) @binding(5) var<storage, read_write> grad_scores: array<f32>;
@group(0) @binding(6) var<uniform> shape: Shape;

var<workgroup> greatest_of: array<f32, 32>;
var<workgroup> total_of: array<f32, 32>;
var<workgroup> along_of: array<f32, 32>;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let heads = shape.width / shape.head;
    let head = group.y * shape.head;
    let q = (group.z * shape.queries + group.x) * shape.query_row + head;
    let g = (group.z * shape.queries + group.x) * shape.width + head;
    let first = group.z * shape.keys;
    let at = ((group.z * heads + group.y) * shape.queries + group.x) * shape.keys;
    let count = select(shape.keys, group.x + 1u, shape.causal != 0u);
    // Each lane reads back only what it has written itself.
    var greatest = -1e30;
    for (var key = lane; key < count; key += 32u) {
        let row = (first + key) * shape.key_row + head;
        var score = 0.0;
        var slope = 0.0;
        for (var d = 0u; d < shape.head; d++) {
            score += dot(queries[q + d], keys[row + shape.key_start + d]);
            slope += dot(grad_output[g + d], values[row + shape.value_start + d]);
        }
        score *= shape.scale;
        greatest = max(greatest, score);
        probabilities[at + key] = score;
        grad_scores[at + key] = slope;
    }
    greatest_of[lane] = greatest;
    workgroupBarrier();
    for (var i = 0u; i < 32u; i++) {
        greatest = max(greatest, greatest_of[i]);
    }
    var total = 0.0;
    var along = 0.0;
    for (var key = lane; key < count; key += 32u) {
        let p = exp(probabilities[at + key] - greatest);
        total += p;
        along += p * grad_scores[at + key];
        probabilities[at + key] = p;
    }
    total_of[lane] = total;
    along_of[lane] = along;
    workgroupBarrier();
    total = 0.0;
    along = 0.0;
    for (var i = 0u; i < 32u; i++) {
        total += total_of[i];
        along += along_of[i];
    }
    for (var key = lane; key < shape.keys; key += 32u) {
        // What a mask hides.
        var p = 0.0;
        var slope = 0.0;
        if (key < count) {
            p = probabilities[at + key] / total;
            slope = p * (grad_scores[at + key] - along / total) * shape.scale;
        }
        probabilities[at + key] = p;
        grad_scores[at + key] = slope;
    }
}
