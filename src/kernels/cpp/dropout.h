// Dropout with masks that are a function of seed, cell number, step and element: nothing is stored for the
// gradient, a resumed run continues with the same masks, and the number of threads does not matter.
#pragma once

#include <cstdint>

struct Dropout {
  uint32_t first = 0, second = 0, threshold = 0;
  float scale = 1.0f;

  Dropout() = default;

  // step [1], key [2] (seed, cell number) and rate [1], inputs of the operator
  Dropout(const void *step, const void *key, const float *rate) {
    const uint32_t *words = static_cast<const uint32_t *>(key);
    uint64_t state = (static_cast<uint64_t>(words[0]) << 32 | words[1]) +
                     0x9E3779B97F4A7C15ull * (1 + *static_cast<const uint32_t *>(step));
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9ull;  // splitmix64
    state = (state ^ (state >> 27)) * 0x94D049BB133111EBull;
    state ^= state >> 31;
    first = static_cast<uint32_t>(state);
    second = static_cast<uint32_t>(state >> 32);
    threshold = static_cast<uint32_t>(*rate * 4294967296.0);
    scale = 1.0f / (1.0f - *rate);
  }

  // out[i] = in[i] with element place + i dropped or scaled; out may alias in.
  void apply(const float *in, int64_t place, int64_t count, float *out) const {
    // Locals: compilers do not vectorize over values read through a pointer.
    const uint32_t start = static_cast<uint32_t>(place), one = first, two = second, limit = threshold;
    const float scaled = scale;
#pragma omp simd
    for (int32_t i = 0; i < static_cast<int32_t>(count); ++i) {
      uint32_t h = (start + static_cast<uint32_t>(i)) * 0x9E3779B1u ^ one;
      h = (h ^ (h >> 16)) * 0x21F0AAADu + two;
      h = (h ^ (h >> 15)) * 0x735A2D97u;
      h ^= h >> 15;
      out[i] = in[i] * (h < limit ? 0.0f : scaled);
    }
  }
};
