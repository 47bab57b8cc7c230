//! SIMD dispatch: the widest vectors of the processor, chosen at run time.

/// Vector of f32, with the operations that the kernels need.
///
/// # Safety
/// Every function requires the type's instructions, which [`dispatch`] checks. A pointer
/// must be valid for reads of [`Self::LANES`] elements, or for writes in [`Self::store`];
/// it need not be aligned.
#[allow(clippy::missing_safety_doc, reason = "said once, above")]
pub trait SimdF32: Copy {
    const LANES: usize;
    /// Maximum tile height (MR): rows of two accumulators each that fit the registers.
    const ROWS: usize;
    /// The same with [`Self::Ints`] as accumulators.
    const INT_ROWS: usize = Self::ROWS;
    /// [`Self::LANES`] i32.
    type Ints: Copy;
    /// [`Self::LANES`] pairs of i16.
    type Pairs: Copy;

    unsafe fn zero() -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// `self + a * b`
    unsafe fn mul_add(self, a: f32, b: Self) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn subtract(self, other: Self) -> Self;
    unsafe fn multiply(self, other: Self) -> Self;
    /// The larger of each pair.
    unsafe fn max(self, other: Self) -> Self;

    unsafe fn zero_ints() -> Self::Ints;
    /// Loads pairs of i8, widened.
    unsafe fn load_pairs(from: *const [i8; 2]) -> Self::Pairs;
    /// `sums + a[0] * b[0] + a[1] * b[1]`, in i32.
    unsafe fn add_pairs(sums: Self::Ints, a: [i16; 2], b: Self::Pairs) -> Self::Ints;
    unsafe fn to_floats(ints: Self::Ints) -> Self;
}

/// Job that is generic over the vector type. Implementations and all that they call must
/// be `#[inline(always)]`: only then are they compiled for the chosen instructions.
pub trait SimdJob {
    type Output;

    /// # Safety
    /// The processor has the instructions of `V`.
    unsafe fn run<V: SimdF32>(self) -> Self::Output;
}

/// Tile width (NR): two vectors.
pub fn tile_width() -> usize {
    struct Width;
    impl SimdJob for Width {
        type Output = usize;
        #[inline(always)]
        unsafe fn run<V: SimdF32>(self) -> usize {
            2 * V::LANES
        }
    }
    dispatch(Width)
}

#[cfg(target_arch = "x86_64")]
pub fn dispatch<W: SimdJob>(job: W) -> W::Output {
    use x86::{Avx2, Avx512};

    /// # Safety
    /// The processor has these instructions.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    fn avx512<W: SimdJob>(job: W) -> W::Output {
        // SAFETY: the caller guarantees the instructions.
        unsafe { job.run::<Avx512>() }
    }
    /// # Safety
    /// The processor has these instructions.
    #[target_feature(enable = "avx2,fma,f16c")]
    fn avx2<W: SimdJob>(job: W) -> W::Output {
        // SAFETY: the caller guarantees the instructions.
        unsafe { job.run::<Avx2>() }
    }
    let max_level = max_level();
    let has_avx2 = max_level > 0
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    let has_avx512 = max_level > 1
        && has_avx2
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    // SAFETY: the processor was just checked for the instructions of each; `Array4` needs
    // none beyond those that the program is compiled for.
    unsafe {
        match (has_avx512, has_avx2) {
            (true, _) => avx512(job),
            (_, true) => avx2(job),
            _ => job.run::<Array4>(),
        }
    }
}

/// Cap of the instruction set in tests: 0 for the portable fallback, 1 for AVX2.
#[cfg(all(test, not(target_arch = "wasm32")))]
pub mod level {
    /// Runs `test` as it is, then on one thread with each lower instruction set.
    #[cfg(target_arch = "x86_64")]
    pub fn at_every_level(test: impl Fn() + Sync) {
        test();
        // Miri has the lowest alone.
        let lower: &[u8] = if cfg!(miri) { &[] } else { &[0, 1] };
        for &level in lower {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
            pool.unwrap().install(|| {
                MAX_LEVEL.set(level);
                test();
            });
        }
    }

    /// Runs `test`: there is one instruction set.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn at_every_level(test: impl Fn() + Sync) {
        test();
    }

    #[cfg(target_arch = "x86_64")]
    thread_local! {
        pub(super) static MAX_LEVEL: std::cell::Cell<u8> = const { std::cell::Cell::new(u8::MAX) };
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn max_level() -> u8 {
    #[cfg(test)]
    return level::MAX_LEVEL.get();
    #[cfg(not(test))]
    u8::MAX
}

/// The program says by its feature which instructions it takes; the page's loader asks the
/// browser which program it accepts. Others are refused as a whole.
#[cfg(target_arch = "wasm32")]
pub fn dispatch<W: SimdJob>(job: W) -> W::Output {
    #[cfg_attr(
        feature = "relaxed-simd",
        target_feature(enable = "simd128,relaxed-simd")
    )]
    #[cfg_attr(not(feature = "relaxed-simd"), target_feature(enable = "simd128"))]
    fn simd<W: SimdJob>(job: W) -> W::Output {
        // SAFETY: a browser without these instructions rejects the whole module.
        unsafe { job.run::<wasm::Simd128>() }
    }
    simd(job)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "wasm32")))]
pub fn dispatch<W: SimdJob>(job: W) -> W::Output {
    // SAFETY: `Array4` needs no instructions beyond those that the program is compiled for.
    unsafe { job.run::<Array4>() }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::SimdF32;

    #[derive(Clone, Copy)]
    pub struct Avx512(__m512);

    #[allow(
        unsafe_op_in_unsafe_fn,
        reason = "a block would repeat the contract of `SimdF32`"
    )]
    impl SimdF32 for Avx512 {
        const LANES: usize = 16;
        const ROWS: usize = 14;
        type Ints = __m512i;
        type Pairs = __m512i;

        #[inline(always)]
        unsafe fn zero() -> Self {
            Self(_mm512_setzero_ps())
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(_mm512_loadu_ps(from))
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            _mm512_storeu_ps(to, self.0)
        }
        #[inline(always)]
        unsafe fn mul_add(self, a: f32, b: Self) -> Self {
            Self(_mm512_fmadd_ps(_mm512_set1_ps(a), b.0, self.0))
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            Self(_mm512_add_ps(self.0, other.0))
        }
        #[inline(always)]
        unsafe fn subtract(self, other: Self) -> Self {
            Self(_mm512_sub_ps(self.0, other.0))
        }
        #[inline(always)]
        unsafe fn multiply(self, other: Self) -> Self {
            Self(_mm512_mul_ps(self.0, other.0))
        }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            Self(_mm512_max_ps(self.0, other.0))
        }
        #[inline(always)]
        unsafe fn zero_ints() -> Self::Ints {
            _mm512_setzero_si512()
        }
        #[inline(always)]
        unsafe fn load_pairs(from: *const [i8; 2]) -> Self::Pairs {
            _mm512_cvtepi8_epi16(_mm256_loadu_si256(from.cast()))
        }
        #[inline(always)]
        unsafe fn add_pairs(sums: Self::Ints, a: [i16; 2], b: Self::Pairs) -> Self::Ints {
            let a = _mm512_set1_epi32(i32::from(a[0]) & 0xffff | i32::from(a[1]) << 16);
            _mm512_add_epi32(sums, _mm512_madd_epi16(a, b))
        }
        #[inline(always)]
        unsafe fn to_floats(ints: Self::Ints) -> Self {
            Self(_mm512_cvtepi32_ps(ints))
        }
    }

    #[derive(Clone, Copy)]
    pub struct Avx2(__m256);

    #[allow(
        unsafe_op_in_unsafe_fn,
        reason = "a block would repeat the contract of `SimdF32`"
    )]
    impl SimdF32 for Avx2 {
        const LANES: usize = 8;
        const ROWS: usize = 6;
        type Ints = __m256i;
        type Pairs = __m256i;

        #[inline(always)]
        unsafe fn zero() -> Self {
            Self(_mm256_setzero_ps())
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(_mm256_loadu_ps(from))
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            _mm256_storeu_ps(to, self.0)
        }
        #[inline(always)]
        unsafe fn mul_add(self, a: f32, b: Self) -> Self {
            Self(_mm256_fmadd_ps(_mm256_set1_ps(a), b.0, self.0))
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            Self(_mm256_add_ps(self.0, other.0))
        }
        #[inline(always)]
        unsafe fn subtract(self, other: Self) -> Self {
            Self(_mm256_sub_ps(self.0, other.0))
        }
        #[inline(always)]
        unsafe fn multiply(self, other: Self) -> Self {
            Self(_mm256_mul_ps(self.0, other.0))
        }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            Self(_mm256_max_ps(self.0, other.0))
        }
        #[inline(always)]
        unsafe fn zero_ints() -> Self::Ints {
            _mm256_setzero_si256()
        }
        #[inline(always)]
        unsafe fn load_pairs(from: *const [i8; 2]) -> Self::Pairs {
            _mm256_cvtepi8_epi16(_mm_loadu_si128(from.cast()))
        }
        #[inline(always)]
        unsafe fn add_pairs(sums: Self::Ints, a: [i16; 2], b: Self::Pairs) -> Self::Ints {
            let a = _mm256_set1_epi32(i32::from(a[0]) & 0xffff | i32::from(a[1]) << 16);
            _mm256_add_epi32(sums, _mm256_madd_epi16(a, b))
        }
        #[inline(always)]
        unsafe fn to_floats(ints: Self::Ints) -> Self {
            Self(_mm256_cvtepi32_ps(ints))
        }
    }
}

#[cfg(target_arch = "wasm32")]
mod wasm {
    use std::arch::wasm32::*;

    use super::SimdF32;

    #[derive(Clone, Copy)]
    pub struct Simd128(v128);

    #[allow(
        unsafe_op_in_unsafe_fn,
        reason = "a block would repeat the contract of `SimdF32`"
    )]
    impl SimdF32 for Simd128 {
        const LANES: usize = 4;
        // Without fused multiply-adds each takes a register for its product.
        const ROWS: usize = if cfg!(feature = "relaxed-simd") { 6 } else { 4 };
        const INT_ROWS: usize = 5;
        type Ints = v128;
        type Pairs = v128;

        #[inline(always)]
        unsafe fn zero() -> Self {
            Self(f32x4_splat(0.0))
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(v128_load(from.cast()))
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            v128_store(to.cast(), self.0)
        }
        #[inline(always)]
        unsafe fn mul_add(self, a: f32, b: Self) -> Self {
            let a = f32x4_splat(a);
            // Fused where the processor can do it, and then rounded once.
            #[cfg(feature = "relaxed-simd")]
            return Self(f32x4_relaxed_madd(a, b.0, self.0));
            #[cfg(not(feature = "relaxed-simd"))]
            Self(f32x4_add(self.0, f32x4_mul(a, b.0)))
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            Self(f32x4_add(self.0, other.0))
        }
        #[inline(always)]
        unsafe fn subtract(self, other: Self) -> Self {
            Self(f32x4_sub(self.0, other.0))
        }
        #[inline(always)]
        unsafe fn multiply(self, other: Self) -> Self {
            Self(f32x4_mul(self.0, other.0))
        }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            Self(f32x4_pmax(self.0, other.0))
        }
        #[inline(always)]
        unsafe fn zero_ints() -> Self::Ints {
            i32x4_splat(0)
        }
        #[inline(always)]
        unsafe fn load_pairs(from: *const [i8; 2]) -> Self::Pairs {
            i16x8_load_extend_i8x8(from.cast())
        }
        #[inline(always)]
        unsafe fn add_pairs(sums: Self::Ints, a: [i16; 2], b: Self::Pairs) -> Self::Ints {
            let a = i32x4_splat(i32::from(a[0]) & 0xffff | i32::from(a[1]) << 16);
            i32x4_add(sums, i32x4_dot_i16x8(a, b))
        }
        #[inline(always)]
        unsafe fn to_floats(ints: Self::Ints) -> Self {
            Self(f32x4_convert_i32x4(ints))
        }
    }
}

/// Portable fallback without intrinsics: four lanes, which compilers turn into a vector
/// on every 64-bit ARM.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Clone, Copy)]
struct Array4([f32; 4]);

#[cfg(not(target_arch = "wasm32"))]
#[allow(
    unsafe_op_in_unsafe_fn,
    reason = "a block would repeat the contract of `SimdF32`"
)]
impl SimdF32 for Array4 {
    const LANES: usize = 4;
    const ROWS: usize = 8;
    type Ints = [i32; 4];
    type Pairs = [[i16; 2]; 4];

    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0.0; 4])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(from.cast::<[f32; 4]>().read_unaligned())
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        to.cast::<[f32; 4]>().write_unaligned(self.0)
    }
    #[inline(always)]
    unsafe fn mul_add(self, a: f32, b: Self) -> Self {
        Self(std::array::from_fn(|i| {
            match cfg!(target_arch = "aarch64") {
                true => a.mul_add(b.0[i], self.0[i]),
                false => self.0[i] + a * b.0[i],
            }
        }))
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }
    #[inline(always)]
    unsafe fn subtract(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] - other.0[i]))
    }
    #[inline(always)]
    unsafe fn multiply(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * other.0[i]))
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].max(other.0[i])))
    }
    #[inline(always)]
    unsafe fn zero_ints() -> Self::Ints {
        [0; 4]
    }
    #[inline(always)]
    unsafe fn load_pairs(from: *const [i8; 2]) -> Self::Pairs {
        from.cast::<[[i8; 2]; 4]>()
            .read()
            .map(|pair| pair.map(i16::from))
    }
    #[inline(always)]
    unsafe fn add_pairs(sums: Self::Ints, a: [i16; 2], b: Self::Pairs) -> Self::Ints {
        let product = |a, b| i32::from(a) * i32::from(b);
        std::array::from_fn(|i| sums[i] + product(a[0], b[i][0]) + product(a[1], b[i][1]))
    }
    #[inline(always)]
    unsafe fn to_floats(ints: Self::Ints) -> Self {
        Self(ints.map(|int| int as f32))
    }
}
