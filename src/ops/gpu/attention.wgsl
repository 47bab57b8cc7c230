// softmax(q kT * scale) v, one query of one head per thread. Online softmax over four
// keys at a time: no scores are stored.
//
// Lines with {d} are unrolled over the vectors of four in a head's dimensions. All lengths
// count vectors of four. Of lines with held and looped one kind is commented out: the query
// stays in registers, or is read again for each four keys.

struct Shape {
    queries: u32,
    keys: u32,
    width: u32,
    // Row strides, and offsets of keys and values in a row.
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
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<uniform> shape: Shape;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3u) {
    let query = id.x;
    if (query >= shape.queries) {
        return;
    }
    let head = id.y * {{ fours }}u;
    let q = (id.z * shape.queries + query) * shape.query_row + head;
    {{ held }} let query{d} = queries[q + {d}u];
    let first = id.z * shape.keys;
    let count = select(shape.keys, query + 1u, shape.causal != 0u);
    var greatest = -1e30;
    var total = 0.0;
    var sum{d} = vec4f();
    for (var key = 0u; key < count; key += 4u) {
        let four = key + vec4u(0u, 1u, 2u, 3u);
        let row = (first + min(four, vec4u(count - 1u))) * shape.key_row + head;
        let k = row + shape.key_start;
        var score = vec4f();
        {{ held }} score += vec4f(dot(query{d}, keys[k.x + {d}u]), dot(query{d}, keys[k.y + {d}u]), dot(query{d}, keys[k.z + {d}u]), dot(query{d}, keys[k.w + {d}u]));
        {{ looped }} for (var d = 0u; d < {{ fours }}u; d++) {
        {{ looped }}     let a = queries[q + d];
        {{ looped }}     score += vec4f(dot(a, keys[k.x + d]), dot(a, keys[k.y + d]), dot(a, keys[k.z + d]), dot(a, keys[k.w + d]));
        {{ looped }} }
        // Keys past the last only fill the four.
        score = select(vec4f(-1e30), score * shape.scale, four < vec4u(count));
        let before = greatest;
        greatest = max(max(greatest, max(score.x, score.y)), max(score.z, score.w));
        let shrink = exp(before - greatest);
        let p = exp(score - greatest);
        total = total * shrink + p.x + p.y + p.z + p.w;
        let v = row + shape.value_start;
        sum{d} = sum{d} * shrink + p.x * values[v.x + {d}u] + p.y * values[v.y + {d}u] + p.z * values[v.z + {d}u] + p.w * values[v.w + {d}u];
    }
    let at = (id.z * shape.queries + query) * shape.width + head;
    y[at + {d}u] = sum{d} / total;
}
