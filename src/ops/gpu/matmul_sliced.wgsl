// activation(x w * scale + bias + residual), as matmul_conv.wgsl, for products with few
// outputs: the channels are dealt out to 16 slices of a workgroup, each of which sums up
// {{ rows }} rows by eight vectors of four columns. The sums of the slices are added in
// workgroup memory.
//
// Lines with {r} are unrolled over the rows, lines with {s} over the four channels of a
// vector.

var<workgroup> sums: array<vec4f, {{ rows }} * 128>;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let n = shape.columns;
    let across = lane % 8u;
    let slice = lane / 8u;
    let first = group.y * {{ rows }}u;
    let column = group.x * 8u + across;
    let there = min(column, n - 1u);
    let depth = shape.kernel * shape.kernel * shape.channels;
    let padding = shape.kernel / 2u;
    let row{r} = min(first + {r}u, shape.rows - 1u);
    // Wraps to a huge number in the padding above and left.
    let top{r} = row{r} / shape.out_width % shape.out_height * shape.stride - padding;
    let left{r} = row{r} % shape.out_width * shape.stride - padding;
    let picture{r} = row{r} / (shape.out_width * shape.out_height) * shape.height;
    var sum{r} = vec4f();
    for (var k = slice; k < depth; k += 16u) {
        let place = k / shape.channels;
        let below = place / shape.kernel;
        let right = place % shape.kernel;
        let channel = k - place * shape.channels;
        let inside{r} = top{r} + below < shape.height && left{r} + right < shape.width;
        let at{r} = select(0u, ((picture{r} + top{r} + below) * shape.width + left{r} + right) * shape.channels + channel, inside{r});
        let w{s} = weight((k * 4u + {s}u) * n + there);
        let x{r} = select(vec4f(), x[at{r}], inside{r});
        sum{r} += x{r}[{s}] * w{s};
    }
    sums[{r}u * 128u + lane] = sum{r};
    workgroupBarrier();
    // Of each row, one slice adds up all.
    let row = first + slice;
    if (slice < {{ rows }}u && row < shape.rows && column < n) {
        var sum = vec4f();
        for (var i = 0u; i < 16u; i++) {
            sum += sums[slice * 128u + i * 8u + across];
        }
        epilogue(row, column, sum);
    }
}
