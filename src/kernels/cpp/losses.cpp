// TinyBERT's mean squared errors (Jiao et al. 2020, equations 7 and 8), one value
// per sample; padding is not read.
//
// Letters: B batch, S length, H hidden, N heads.
#include "functions.h"
#include "kernel.h"

namespace {

struct Half {
  uint16_t bits;
  operator float() const { return float_of_half(bits); }
};

// Calls body with the teacher's values, the second input: float16 from a cache, float32 from a network.
template <class Body>
int with_teacher(const Arguments &args, const char **types, Body body) {
  if (std::strcmp(types[1], "float16") == 0)
    body(static_cast<const Half *>(args.data[1]));
  else
    body(static_cast<const float *>(args.floats(1)));
  return 0;
}

float sum_of(const float *values, int64_t count) {
  float sum = 0.0f;
  for (int64_t i = 0; i < count; ++i) sum += values[i];
  return sum;
}

template <class Teacher>
float squared_distance(const float *a, const Teacher *b, int64_t count) {
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) {
    const float difference = a[i] - b[i];
    sum += difference * difference;
  }
  return sum;
}

}  // namespace

// student, teacher [B*S, H], mask [B, S] -> [B]: mean over the real tokens and H of (student - teacher)^2
KERNEL(hidden_mse) {
  const Arguments args{data, ranks, shapes};
  const float *student = args.floats(0), *mask = args.floats(2);
  float *out = args.floats(3);
  const int64_t batch = args.size(2, 0), length = args.size(2, 1), width = args.last(0);
  return with_teacher(args, types, [=](const auto *teacher) {
    over_rows(batch, length * width, [=](int64_t first, int64_t last, int) {
      for (int64_t b = first; b < last; ++b) {
        const float *real = mask + b * length;
        float sum = 0.0f;
        for (int64_t i = 0; i < length; ++i) {
          const int64_t place = (b * length + i) * width;
          if (real[i] != 0.0f) sum += real[i] * squared_distance(student + place, teacher + place, width);
        }
        out[b] = sum / (sum_of(real, length) * width);
      }
    });
  });
}

// student, teacher, mask, output gradient [B] -> gradient of student [B*S, H]
KERNEL(hidden_mse_gradient) {
  const Arguments args{data, ranks, shapes};
  const float *student = args.floats(0), *mask = args.floats(2);
  const float *upstream = args.floats(3);
  float *out = args.floats(4);
  const int64_t batch = args.size(2, 0), length = args.size(2, 1), width = args.last(0);
  return with_teacher(args, types, [=](const auto *teacher) {
    over_rows(batch, length * width, [=](int64_t first, int64_t last, int) {
      for (int64_t b = first; b < last; ++b) {
        const float *real = mask + b * length;
        const float share = 2.0f * upstream[b] / (sum_of(real, length) * width);
        for (int64_t i = 0; i < length; ++i) {
          const int64_t place = (b * length + i) * width;
          const float *s = student + place, weight = share * real[i];
          const auto *t = teacher + place;
          float *to = out + place;
          if (real[i] == 0.0f) {
            std::fill(to, to + width, 0.0f);
            continue;
          }
#pragma omp simd
          for (int64_t h = 0; h < width; ++h) to[h] = weight * (s[h] - t[h]);
        }
      }
    });
  });
}

// student, teacher [B, N, S, S], mask [B, S] -> [B]: mean over heads, real queries and real keys
KERNEL(attention_mse) {
  const Arguments args{data, ranks, shapes};
  const float *student = args.floats(0), *mask = args.floats(2);
  float *out = args.floats(3);
  const int64_t batch = args.size(0, 0), heads = args.size(0, 1), length = args.size(0, 2);
  return with_teacher(args, types, [=](const auto *teacher) {
    over_rows(batch, heads * length * length, [=](int64_t first, int64_t last, int) {
      for (int64_t b = first; b < last; ++b) {
        const float *real = mask + b * length;
        float total = 0.0f;
        for (int64_t query = 0; query < heads * length; ++query) {
          const float weight = real[query % length];
          if (weight == 0.0f) continue;
          const int64_t place = (b * heads * length + query) * length;
          const float *s = student + place;
          const auto *t = teacher + place;
          float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
          for (int64_t key = 0; key < length; ++key) {
            const float difference = s[key] - t[key];
            sum += real[key] * (difference * difference);
          }
          total += weight * sum;
        }
        const float count = sum_of(real, length);
        out[b] = total / (count * count * heads);
      }
    });
  });
}

// student, teacher, mask, output gradient [B] -> gradient of student [B, N, S, S]
KERNEL(attention_mse_gradient) {
  const Arguments args{data, ranks, shapes};
  const float *student = args.floats(0), *mask = args.floats(2);
  const float *upstream = args.floats(3);
  float *out = args.floats(4);
  const int64_t batch = args.size(0, 0), heads = args.size(0, 1), length = args.size(0, 2);
  return with_teacher(args, types, [=](const auto *teacher) {
    over_rows(batch, heads * length * length, [=](int64_t first, int64_t last, int) {
      for (int64_t b = first; b < last; ++b) {
        const float *real = mask + b * length, count = sum_of(real, length);
        const float share = 2.0f * upstream[b] / (count * count * heads);
        for (int64_t query = 0; query < heads * length; ++query) {
          const int64_t place = (b * heads * length + query) * length;
          const float *s = student + place, weight = share * real[query % length];
          const auto *t = teacher + place;
          float *to = out + place;
          if (real[query % length] == 0.0f) {
            std::fill(to, to + length, 0.0f);
            continue;
          }
#pragma omp simd
          for (int64_t key = 0; key < length; ++key) to[key] = weight * real[key] * (s[key] - t[key]);
        }
      }
    });
  });
}
