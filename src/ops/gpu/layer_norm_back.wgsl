// Gradient of layer norm's input, one row per workgroup, and the products whose sums over the
// rows are the gradient of gamma: grad_output * (x - mean) / sqrt(variance + epsilon).

struct Shape {
    width: u32, // in fours
    epsilon: f32,
}

@group(0) @binding(0) var<storage, {{ read }}> grad_output: array<vec4f>;
@group(0) @binding(1) var<storage, {{ read }}> x: array<vec4f>;
@group(0) @binding(2) var<storage, {{ read }}> gamma: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> grad_x: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> products: array<vec4f>;
@group(0) @binding(5) var<uniform> shape: Shape;

var<workgroup> sums: array<vec4f, 32>;
var<workgroup> squares: array<vec4f, 32>;
var<workgroup> gradients: array<vec4f, 32>;
var<workgroup> aligned: array<vec4f, 32>;

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
    var square = vec4f();
    var gradient = vec4f();
    var along = vec4f();
    for (var i = lane; i < shape.width; i += 32u) {
        let off = x[row + i] - mean;
        let g = grad_output[row + i] * gamma[i];
        square += off * off;
        gradient += g;
        along += g * off;
    }
    squares[lane] = square;
    gradients[lane] = gradient;
    aligned[lane] = along;
    workgroupBarrier();
    square = vec4f();
    gradient = vec4f();
    along = vec4f();
    for (var i = 0u; i < 32u; i++) {
        square += squares[i];
        gradient += gradients[i];
        along += aligned[i];
    }
    let inv_std = inverseSqrt(dot(square, vec4(1.0)) / count + shape.epsilon);
    let average = dot(gradient, vec4(1.0)) / count;
    let slope = dot(along, vec4(1.0)) / count * inv_std * inv_std;
    for (var i = lane; i < shape.width; i += 32u) {
        let off = x[row + i] - mean;
        let g = grad_output[row + i];
        grad_x[row + i] = inv_std * (g * gamma[i] - average - off * slope);
        products[row + i] = g * off * inv_std;
    }
}
