// activation(x w * scale + bias + residual), as matmul_conv.wgsl, for large products: 16 by
// 16 threads share a tile of both matrices in workgroup memory, and each computes {{ rows }}
// rows by {{ columns }} vectors of four columns in registers. The next tile is read while
// the current one is multiplied.
//
// Lines with {r} are unrolled over the rows, lines with {c} over the vectors, lines with {s}
// over the four channels of a vector, lines with {i} over the vectors of x that a thread
// reads.

// 16 channels: a row of `xs` has four vectors of them, `ws` has 16 rows.
var<workgroup> xs: array<vec4f, {{ rows }} * 64>;
var<workgroup> ws: array<vec4f, {{ columns }} * 256>;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let n = shape.columns;
    let across = lane % 16u;
    let down = lane / 16u;
    let first_row = group.y * ({{ rows }}u * 16u);
    let first_column = group.x * ({{ columns }}u * 16u);
    let depth = shape.kernel * shape.kernel * shape.channels;
    let padding = shape.kernel / 2u;

    // What this thread reads of x: vector `lane % 4` of these rows.
    let from{i} = min(first_row + lane / 4u + {i}u * 64u, shape.rows - 1u);
    // Wraps to a huge number in the padding above and left.
    let top{i} = from{i} / shape.out_width % shape.out_height * shape.stride - padding;
    let left{i} = from{i} % shape.out_width * shape.stride - padding;
    let picture{i} = from{i} / (shape.out_width * shape.out_height) * shape.height;
    // And of w: row `lane / 16` of these columns.
    let column{c} = first_column + across + {c}u * 16u;
    let there{c} = min(column{c}, n - 1u);

    var sum{r}_{c} = vec4f();
    var next_x{i} = vec4f();
    var next_w{c} = vec4f();
    for (var start = 0u; start < depth + 4u; start += 4u) {
        // Of the tile after the last one, nothing is read.
        let k = start + lane % 4u;
        let place = k / shape.channels;
        let below = place / shape.kernel;
        let right = place % shape.kernel;
        let channel = k - place * shape.channels;
        let inside{i} = k < depth && top{i} + below < shape.height && left{i} + right < shape.width;
        let at{i} = select(0u, ((picture{i} + top{i} + below) * shape.width + left{i} + right) * shape.channels + channel, inside{i});
        next_x{i} = select(vec4f(), x[at{i}], inside{i});
        let row = start * 4u + down;
        let within = row < depth * 4u;
        next_w{c} = select(vec4f(), weight(select(0u, row * n + there{c}, within)), within);
        if (start != 0u) {
            workgroupBarrier();
            for (var v = 0u; v < 4u; v++) {
                let a{r} = xs[(down + {r}u * 16u) * 4u + v];
                let b{s}_{c} = ws[(v * 4u + {s}u) * ({{ columns }}u * 16u) + across + {c}u * 16u];
                sum{r}_{c} += a{r}[{s}] * b{s}_{c};
            }
            workgroupBarrier();
        }
        xs[lane + {i}u * 256u] = next_x{i};
        ws[down * ({{ columns }}u * 16u) + across + {c}u * 16u] = next_w{c};
    }
    // A loop, not unrolled: the code is long.
    var sums: array<vec4f, {{ rows }} * {{ columns }}>;
    sums[{r}u * {{ columns }}u + {c}u] = sum{r}_{c};
    for (var i = 0u; i < {{ rows }}u * {{ columns }}u; i++) {
        let row = first_row + down + i / {{ columns }}u * 16u;
        let column = first_column + across + i % {{ columns }}u * 16u;
        if (row < shape.rows && column < n) {
            epilogue(row, column, sums[i]);
        }
    }
}
