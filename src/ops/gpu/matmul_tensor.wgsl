// activation(x w * scale + bias + residual), as matmul_conv.wgsl, by cooperative matrices: f16
// inputs with f32 sums. Eight subgroups of 32 share a tile of 128 by 128 in workgroup memory,
// of which each computes 32 rows by 64 columns, two by four matrices of 16 by 16.
//
// Lines with {r} are unrolled over the two, lines with {c} over the four, lines with {i} over
// the four vectors of x and of w that a thread reads.

// 32 channels, eight vectors in a row, and two that keep rows in different banks.
var<workgroup> xs: array<vec4<f16>, 128 * 10>;
// 32 channels of 128 columns, 32 vectors, with the same two.
var<workgroup> ws: array<vec4<f16>, 32 * 34>;
// A matrix of each subgroup.
var<workgroup> results: array<f32, 8 * 256>;

@compute @workgroup_size({{ workgroup }})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let n = shape.columns;
    let subgroup = lane / 32u;
    let first_row = group.y * 128u;
    let first_column = group.x * 32u;
    let depth = shape.kernel * shape.kernel * shape.channels;
    let padding = shape.kernel / 2u;

    // What this thread reads of x: vector `lane % 8` of these rows.
    let from{i} = min(first_row + lane / 8u + {i}u * 32u, shape.rows - 1u);
    // Wraps to a huge number in the padding above and left.
    let top{i} = from{i} / shape.out_width % shape.out_height * shape.stride - padding;
    let left{i} = from{i} % shape.out_width * shape.stride - padding;
    let picture{i} = from{i} / (shape.out_width * shape.out_height) * shape.height;
    // And of w: this column of rows `lane / 32`, eight apart.
    let column = min(first_column + lane % 32u, n - 1u);

    var sum{r}_{c} = coop_mat16x16<f32, C>();
    // The first product is with zeros: a branch around it would not be uniform to the compiler.
    xs[(lane / 8u + {i}u * 32u) * 10u + lane % 8u] = vec4<f16>();
    ws[(subgroup + {i}u * 8u) * 34u + lane % 32u] = vec4<f16>();
    for (var start = 0u; start < depth + 8u; start += 8u) {
        // Of the tile after the last one, nothing is read.
        let k = start + lane % 8u;
        let place = k / shape.channels;
        let below = place / shape.kernel;
        let right = place % shape.kernel;
        let channel = k - place * shape.channels;
        let inside{i} = k < depth && top{i} + below < shape.height && left{i} + right < shape.width;
        let at{i} = select(0u, ((picture{i} + top{i} + below) * shape.width + left{i} + right) * shape.channels + channel, inside{i});
        let next_x{i} = select(vec4f(), x[at{i}], inside{i});
        let row{i} = start * 4u + subgroup + {i}u * 8u;
        let within{i} = row{i} < depth * 4u;
        let next_w{i} = select(vec4f(), weight(select(0u, row{i} * n + column, within{i})), within{i});
        workgroupBarrier();
        let row_step = 10u;
        let channel_step = 34u;
        for (var half = 0u; half < 2u; half++) {
            let xs_at{r} = (subgroup / 2u * 32u + {r}u * 16u) * row_step + half * 4u;
            let a{r} = coopLoadT<coop_mat16x16<f16, A>>(&xs[xs_at{r}], row_step);
            let ws_at{c} = half * 16u * channel_step + subgroup % 2u * 16u + {c}u * 4u;
            let b{c} = coopLoadT<coop_mat16x16<f16, B>>(&ws[ws_at{c}], channel_step);
            sum{r}_{c} = coopMultiplyAdd(a{r}, b{c}, sum{r}_{c});
        }
        workgroupBarrier();
        xs[(lane / 8u + {i}u * 32u) * 10u + lane % 8u] = vec4<f16>(next_x{i});
        ws[(subgroup + {i}u * 8u) * 34u + lane % 32u] = vec4<f16>(next_w{i});
    }
    let own = subgroup * 256u;
    let side = 16u;
    workgroupBarrier();
    coopStoreT(sum{r}_{c}, &results[own], side); workgroupBarrier(); write(group, lane, {r}u, {c}u); workgroupBarrier();
}

// Writes the matrix in `results` of this thread's subgroup.
fn write(group: vec3u, lane: u32, down: u32, across: u32) {
    let subgroup = lane / 32u;
    let first_row = group.y * 128u + subgroup / 2u * 32u + down * 16u;
    let first_column = group.x * 32u + subgroup % 2u * 16u + across * 4u;
    for (var i = lane % 32u; i < 64u; i += 32u) {
        let at = subgroup * 256u + i * 4u;
        let row = first_row + i / 4u;
        let column = first_column + i % 4u;
        if (row < shape.rows && column < shape.columns) {
            epilogue(row, column, vec4f(results[at], results[at + 1u], results[at + 2u], results[at + 3u]));
        }
    }
}
