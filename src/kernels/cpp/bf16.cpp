// Products of matrices rounded to bfloat16, summed in float32, by the gemm of MindSpore's own oneDNN.
//
// oneDNN's switch for rounding float32 products, ONEDNN_DEFAULT_FPMATH_MODE, has no effect without AMX; its
// gemm of bfloat16 matrices runs wherever the processor has such instructions. MindSpore ships oneDNN without
// headers, so the functions are looked up in the loaded library. Letters: R rows, H width, O output width.
#include <dlfcn.h>

#include "functions.h"
#include "kernel.h"

namespace {

// dnnl_gemm_bf16bf16f32 of oneDNN 2 and 3, as dnnl_sgemm: C [m, n] = alpha op(A) op(B) + beta C, all
// row-major; 0 is success.
using Gemm = int (*)(char, char, int64_t, int64_t, int64_t, float, const uint16_t *, int64_t, const uint16_t *,
                     int64_t, float, float *, int64_t);
using Isa = int (*)();
constexpr int BF16_INSTRUCTIONS = 0x80;  // the bit that dnnl_cpu_isa_avx512_core_bf16 adds

void *onednn(const char *name) {
  void *library = dlopen("libdnnl.so.3", RTLD_NOW | RTLD_NOLOAD);
  return library ? dlsym(library, name) : nullptr;
}

Gemm gemm() {
  static const Gemm found = reinterpret_cast<Gemm>(onednn("dnnl_gemm_bf16bf16f32"));
  return found;
}

// Rounds to the nearest bfloat16, ties to even; NaN stays NaN.
void round_to_bf16(const float *from, int64_t count, uint16_t *to) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = bits_as<uint32_t>(from[i]);
    const uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
    const uint32_t kept = (bits & 0x7fffffffu) > 0x7f800000u ? bits | 0x400000u : rounded;
    to[i] = static_cast<uint16_t>(kept >> 16);
  }
}

struct Factor {
  const float *values;
  int64_t rows, width;
  char transposed;  // 'T' or 'N'
};

// out [m, n] = op(a) op(b). Each thread computes a range of rows with the rounded factors.
int product(const Factor &a, const Factor &b, float *out) {
  const bool flip = a.transposed == 'T';
  const int64_t m = flip ? a.width : a.rows, inner = flip ? a.rows : a.width;
  const int64_t n = b.transposed == 'T' ? b.rows : b.width, of_a = a.rows * a.width, of_b = b.rows * b.width;
  const Gemm multiply = gemm();
  if (!multiply) return 1;
  static thread_local std::vector<uint16_t> memory;
  memory.resize(of_a + of_b);
  uint16_t *left = memory.data(), *right = left + of_a;
  int failed = 0;
#pragma omp parallel reduction(| : failed) if (of_a + of_b >= SMALL)
  {
    const int64_t thread = omp_get_thread_num(), threads = omp_get_num_threads();
    const auto share = [=](int64_t count, int64_t part) { return count * part / threads; };
    round_to_bf16(a.values + share(of_a, thread), share(of_a, thread + 1) - share(of_a, thread),
                  left + share(of_a, thread));
    round_to_bf16(b.values + share(of_b, thread), share(of_b, thread + 1) - share(of_b, thread),
                  right + share(of_b, thread));
#pragma omp barrier
    const int64_t first = share(m, thread), last = share(m, thread + 1);
    if (last > first)
      failed = multiply(a.transposed, b.transposed, last - first, n, inner, 1.0f,
                        left + first * (flip ? 1 : a.width), a.width, right, b.width, 0.0f, out + first * n, n);
  }
  return failed;
}

Factor factor(const Arguments &args, int i, char transposed) {
  return {args.floats(i), args.size(i, 0), args.size(i, 1), transposed};
}

}  // namespace

// Whether the products below run here, in instructions of the processor; needs MindSpore imported.
extern "C" int has_bf16_products() {
  const Isa isa = reinterpret_cast<Isa>(onednn("dnnl_get_effective_cpu_isa"));
  return gemm() && isa && (isa() & BF16_INSTRUCTIONS);
}

// x [R, H], weight [O, H] -> x weight^T [R, O]
KERNEL(bf16_matmul) {
  const Arguments args{data, ranks, shapes};
  return product(factor(args, 0, 'N'), factor(args, 1, 'T'), args.floats(2));
}

// output gradient [R, O], weight [O, H] -> gradient of x [R, H]
KERNEL(bf16_matmul_gradient_x) {
  const Arguments args{data, ranks, shapes};
  return product(factor(args, 0, 'N'), factor(args, 1, 'N'), args.floats(2));
}

// output gradient [R, O], x [R, H] -> gradient of weight [O, H]
KERNEL(bf16_matmul_gradient_weight) {
  const Arguments args{data, ranks, shapes};
  return product(factor(args, 0, 'T'), factor(args, 1, 'N'), args.floats(2));
}
