// (x - mean) / sqrt(variance + epsilon) * gamma + beta, one row per workgroup.

struct Shape {
    width: u32, // in fours
    epsilon: f32,
}

@group(0) @binding(0) var<storage, {{ read }}> x: array<vec4f>;
@group(0) @binding(1) var<storage, {{ read }}> gamma: array<vec4f>;
@group(0) @binding(2) var<storage, {{ read }}> beta: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<uniform> shape: Shape;

var<workgroup> sums: array<vec4f, 32>;
var<workgroup> squares: array<vec4f, 32>;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let row = group.x * shape.width;
    let count = f32(4u * shape.width);
    var sum = vec4f();
    for (var i = lane; i < shape.width; i += 32u) {
        sum += x[row + i];
    }
    sums[lane] = sum;
    workgroupBarrier();
    sum = vec4f();
    for (var i = 0u; i < 32u; i++) {
        sum += sums[i];
    }
    let mean = dot(sum, vec4(1.0)) / count;
    sum = vec4f();
    for (var i = lane; i < shape.width; i += 32u) {
        let off = x[row + i] - mean;
        sum += off * off;
    }
    squares[lane] = sum;
    workgroupBarrier();
    sum = vec4f();
    for (var i = 0u; i < 32u; i++) {
        sum += squares[i];
    }
    let scale = inverseSqrt(dot(sum, vec4(1.0)) / count + shape.epsilon);
    for (var i = lane; i < shape.width; i += 32u) {
        y[row + i] = (x[row + i] - mean) * scale * gamma[i] + beta[i];
    }
}
