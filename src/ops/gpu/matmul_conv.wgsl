// activation(x w * scale + bias + residual): implicit-GEMM convolution of x, [batch,
// height, width, channels]. A matmul is the case of a single pixel. Each thread computes
// {{ rows }} rows by four columns in registers, without workgroup memory or barriers.
//
// Lines with {r} are unrolled over the rows, lines with {s} over the channels per step,
// four or one.

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(global_invocation_id) id: vec3u) {
    let column = id.x;
    let row = id.y * {{ rows }}u;
    let n = shape.columns;
    if (column >= n || row >= shape.rows) {
        return;
    }
    let padding = shape.kernel / 2u;
    let row{r} = min(row + {r}u, shape.rows - 1u);
    // Wraps to a huge number in the padding above and left.
    let top{r} = row{r} / shape.out_width % shape.out_height * shape.stride - padding;
    let left{r} = row{r} % shape.out_width * shape.stride - padding;
    let picture{r} = row{r} / (shape.out_width * shape.out_height) * shape.height;
    var sum{r} = vec4f();
    var j = column;
    for (var place = 0u; place < shape.kernel * shape.kernel; place++) {
        let down = place / shape.kernel;
        let right = place % shape.kernel;
        let inside{r} = top{r} + down < shape.height && left{r} + right < shape.width;
        let there{r} = (picture{r} + top{r} + down) * shape.width + left{r} + right;
        let at{r} = select(0u, there{r} * shape.channels, inside{r});
        for (var k = 0u; k < shape.channels; k++) {
            let w{s} = weight(j + {s}u * n);
            let x{r} = select(vec4f(), input(at{r} + k), inside{r});
            sum{r} += x{r}[{s}] * w{s};
            j += {{ step }}u * n;
        }
    }
    // A loop, not unrolled: the code is long.
    var sums: array<vec4f, {{ rows }}u>;
    sums[{r}] = sum{r};
    for (var i = 0u; i < min({{ rows }}u, shape.rows - row); i++) {
        epilogue(row + i, column, sums[i]);
    }
}
