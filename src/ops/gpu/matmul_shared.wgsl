// activation(x w * scale + bias + residual), as matmul_conv.wgsl, for large products: 16 by
// 16 threads share a tile of both matrices in workgroup memory, and each computes four
// rows by four columns in registers. The next tile is read while the current one is
// multiplied.
//
// Lines with {r} are unrolled over the rows, lines with {s} over the four channels of a
// vector.

// 16 channels: a row of `xs` has four vectors of them, `ws` has 16 rows.
var<workgroup> xs: array<vec4f, 256>;
var<workgroup> ws: array<vec4f, 256>;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let n = shape.columns;
    let across = lane % 16u;
    let down = lane / 16u;
    let first_row = group.y * 64u;
    let depth = shape.kernel * shape.kernel * shape.channels;
    let padding = shape.kernel / 2u;

    // What this thread reads of x: vector `lane % 4` of this row.
    let x_row = min(first_row + lane / 4u, shape.rows - 1u);
    // Wraps to a huge number in the padding above and left.
    let top = x_row / shape.out_width % shape.out_height * shape.stride - padding;
    let left = x_row % shape.out_width * shape.stride - padding;
    let picture = x_row / (shape.out_width * shape.out_height) * shape.height;
    // And of w: row `lane / 16` of this column.
    let column = group.x * 16u + across;
    let there = min(column, n - 1u);

    var sum{r} = vec4f();
    for (var start = 0u; start < depth + 4u; start += 4u) {
        // Of the tile after the last one, nothing is read.
        let k = start + lane % 4u;
        let place = k / shape.channels;
        let below = place / shape.kernel;
        let right = place % shape.kernel;
        let channel = k - place * shape.channels;
        let inside = k < depth && top + below < shape.height && left + right < shape.width;
        let at = select(0u, ((picture + top + below) * shape.width + left + right) * shape.channels + channel, inside);
        let next_x = select(vec4f(), x[at], inside);
        let row = start * 4u + down;
        let within = row < depth * 4u;
        let next_w = select(vec4f(), weight(select(0u, row * n + there, within)), within);
        if (start != 0u) {
            workgroupBarrier();
            for (var v = 0u; v < 4u; v++) {
                let a{r} = xs[(down + {r}u * 16u) * 4u + v];
                let b{s} = ws[(v * 4u + {s}u) * 16u + across];
                sum{r} += a{r}[{s}] * b{s};
            }
            workgroupBarrier();
        }
        xs[lane] = next_x;
        ws[lane] = next_w;
    }
    // A loop, not unrolled: the code is long.
    var sums: array<vec4f, 4>;
    sums[{r}u] = sum{r};
    for (var i = 0u; i < 4u; i++) {
        let row = first_row + down + i * 16u;
        if (row < shape.rows && column < n) {
            epilogue(row, column, sums[i]);
        }
    }
}
