// L2 normalisation of rows, one per workgroup.

struct Shape {
    width: u32, // in fours
}

@group(0) @binding(0) var<storage, {{ read }}> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> shape: Shape;

var<workgroup> squares: array<f32, 32>;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let row = group.x * shape.width;
    var sum = 0.0;
    for (var i = lane; i < shape.width; i += 32u) {
        sum += dot(x[row + i], x[row + i]);
    }
    squares[lane] = sum;
    workgroupBarrier();
    sum = 0.0;
    for (var i = 0u; i < 32u; i++) {
        sum += squares[i];
    }
    for (var i = lane; i < shape.width; i += 32u) {
        y[row + i] = x[row + i] / sqrt(sum);
    }
}
