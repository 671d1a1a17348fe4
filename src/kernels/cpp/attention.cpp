// Multi-head attention between the dense layers (Vaswani et al. 2017): bias, head split, scores, mask,
// softmax, context and merge in one pass, and its gradient. The scores come out: TinyBERT's student fits them.
//
// Letters: B batch, S length, H hidden, N heads, D head width. A task is one head of one row of the batch; its
// matrices lie in the cache. The gradient computes the probabilities again from the scores.
#include "functions.h"
#include "kernel.h"
#include "product.h"

namespace {

struct Shape {
  int64_t batch, heads, length, hidden, width;
  int64_t wide, longer;  // width and length, padded

  Shape(int64_t batch, int64_t heads, int64_t length, int64_t hidden)
      : batch(batch), heads(heads), length(length), hidden(hidden), width(hidden / heads),
        wide(padded(hidden / heads)), longer(padded(length)) {}

  // Where the first number of a task's rows stands in a [B*S, H] tensor.
  int64_t start(int64_t task) const { return task / heads * length * hidden + task % heads * width; }
};

// A dense layer's product and the bias that is still to be added to it.
struct Dense {
  const float *product, *bias;
};

// [S, wide]: (product + bias) * scale of one task, zeros in the padding
void pack(const Dense &dense, const Shape &s, int64_t task, float scale, float *out) {
  const float *bias = dense.bias + task % s.heads * s.width, *from = dense.product + s.start(task);
  for (int64_t i = 0; i < s.length; ++i, from += s.hidden, out += s.wide) {
    for (int64_t d = 0; d < s.width; ++d) out[d] = (from[d] + bias[d]) * scale;
    for (int64_t d = s.width; d < s.wide; ++d) out[d] = 0.0f;
  }
}

// [D, longer] = the transpose of a packed [S, wide]
void transpose(const float *packed, const Shape &s, float *out) {
  for (int64_t d = 0; d < s.width; ++d, out += s.longer) {
    for (int64_t i = 0; i < s.length; ++i) out[i] = packed[i * s.wide + d];
    for (int64_t i = s.length; i < s.longer; ++i) out[i] = 0.0f;
  }
}

// One row of scores plus mask -> its softmax, zeros in the padding.
void softmax(const float *scores, const float *mask, int64_t length, int64_t longer, float *out) {
  float highest = scores[0] + mask[0], sum = 0.0f;
#pragma omp simd reduction(max : highest)
  for (int64_t j = 0; j < length; ++j) {
    out[j] = scores[j] + mask[j];
    highest = out[j] > highest ? out[j] : highest;
  }
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < length; ++j) {
    out[j] = exp_below_zero(out[j] - highest);
    sum += out[j];
  }
  const float share = 1.0f / sum;
#pragma omp simd
  for (int64_t j = 0; j < length; ++j) out[j] *= share;
  for (int64_t j = length; j < longer; ++j) out[j] = 0.0f;
}

// Matrices of one thread, cut from one stretch of memory that lives as long as the thread's work.
class Scratch {
 public:
  explicit Scratch(int64_t size) : memory_(size), next_(memory_.data()) {}
  float *take(int64_t size) {
    float *taken = next_;
    next_ += size;
    return taken;
  }

 private:
  std::vector<float> memory_;
  float *next_;
};

}  // namespace

// query, its bias, key, bias, value, bias ([B*S, H] and [H]), mask [B, 1, 1, S], scale [1]
// -> context [B*S, H], scores [B, N, S, S] (scaled, before mask and softmax)
KERNEL(attention) {
  const Arguments args{data, ranks, shapes};
  const Dense query{args.floats(0), args.floats(1)}, key{args.floats(2), args.floats(3)};
  const Dense value{args.floats(4), args.floats(5)};
  const float *mask = args.floats(6), scale = args.floats(7)[0];
  float *context = args.floats(8), *scores = args.floats(9);
  const Shape s(args.size(9, 0), args.size(9, 1), args.size(9, 2), args.last(1));
  over_rows(s.batch * s.heads, s.length * s.length, [=](int64_t first, int64_t last, int) {
    const int64_t tall = s.length * s.wide;
    Scratch scratch(4 * tall + s.width * s.longer + s.length * s.longer);
    float *q = scratch.take(tall), *k = scratch.take(tall), *v = scratch.take(tall);
    float *mixed = scratch.take(tall), *k_transposed = scratch.take(s.width * s.longer);
    float *square = scratch.take(s.length * s.longer);
    for (int64_t task = first; task < last; ++task) {
      pack(query, s, task, scale, q);
      pack(key, s, task, 1.0f, k);
      pack(value, s, task, 1.0f, v);
      transpose(k, s, k_transposed);
      product({q, s.wide, 1}, k_transposed, square, s.length, s.longer, s.width);
      for (int64_t i = 0; i < s.length; ++i) {
        float *row = scores + (task * s.length + i) * s.length, *probs = square + i * s.longer;
        std::memcpy(row, probs, s.length * sizeof(float));
        softmax(row, mask + task / s.heads * s.length, s.length, s.longer, probs);
      }
      product({square, s.longer, 1}, v, mixed, s.length, s.wide, s.length);
      float *to = context + s.start(task);
      for (int64_t i = 0; i < s.length; ++i)
        std::memcpy(to + i * s.hidden, mixed + i * s.wide, s.width * sizeof(float));
    }
  });
  return 0;
}

namespace {

// Adds one task's packed gradient [S, wide] to a [B*S, H] tensor's place and to the sums of its bias.
void unpack(const float *packed, const Shape &s, int64_t task, float scale, float *out, float *bias_sum) {
  float *to = out + s.start(task), *sum = bias_sum + task % s.heads * s.width;
  for (int64_t i = 0; i < s.length; ++i, to += s.hidden, packed += s.wide)
    for (int64_t d = 0; d < s.width; ++d) {
      to[d] = packed[d] * scale;
      sum[d] += to[d];
    }
}

// probs and d_probs [S, longer], upstream of the scores [S, S] -> d_probs becomes the gradient of the scores
void softmax_gradient(const float *probs, float *d_probs, const float *upstream, const Shape &s) {
  for (int64_t i = 0; i < s.length; ++i, probs += s.longer, d_probs += s.longer, upstream += s.length) {
    float along = 0.0f;
#pragma omp simd reduction(+ : along)
    for (int64_t j = 0; j < s.length; ++j) along += probs[j] * d_probs[j];
#pragma omp simd
    for (int64_t j = 0; j < s.length; ++j) d_probs[j] = probs[j] * (d_probs[j] - along) + upstream[j];
  }
}

}  // namespace

// the eight inputs of `attention`, scores, upstream of context [B*S, H] and of scores [B, N, S, S]
// -> gradients of query, key, value [B*S, H] and of their biases [H]
KERNEL(attention_gradient) {
  const Arguments args{data, ranks, shapes};
  const Dense query{args.floats(0), args.floats(1)}, key{args.floats(2), args.floats(3)};
  const Dense value{args.floats(4), args.floats(5)};
  const float *mask = args.floats(6), scale = args.floats(7)[0], *scores = args.floats(8);
  const float *of_context = args.floats(9), *of_scores = args.floats(10);
  const Shape s(args.size(8, 0), args.size(8, 1), args.size(8, 2), args.last(1));
  const std::vector<float> no_bias(s.hidden, 0.0f);
  const Dense upstream{of_context, no_bias.data()};
  float *d_query = args.floats(11), *d_key = args.floats(12), *d_value = args.floats(13);
  ColumnSums query_sums(s.hidden), key_sums(s.hidden), value_sums(s.hidden);
  over_rows(s.batch * s.heads, s.length * s.length, [&](int64_t first, int64_t last, int thread) {
    const int64_t tall = s.length * s.wide, square = s.length * s.longer;
    Scratch scratch(5 * tall + s.width * s.longer + 2 * square);
    float *q = scratch.take(tall), *k = scratch.take(tall), *v = scratch.take(tall);
    float *up = scratch.take(tall), *mixed = scratch.take(tall);
    float *v_transposed = scratch.take(s.width * s.longer);
    float *probs = scratch.take(square), *d_probs = scratch.take(square);
    for (int64_t task = first; task < last; ++task) {
      const int64_t place = task * s.length * s.length;
      pack(query, s, task, scale, q);
      pack(key, s, task, 1.0f, k);
      pack(value, s, task, 1.0f, v);
      pack(upstream, s, task, 1.0f, up);
      for (int64_t i = 0; i < s.length; ++i)
        softmax(scores + place + i * s.length, mask + task / s.heads * s.length, s.length, s.longer,
                probs + i * s.longer);
      // value: probs^T upstream
      product({probs, 1, s.longer}, up, mixed, s.length, s.wide, s.length);
      unpack(mixed, s, task, 1.0f, d_value, value_sums.of(thread));
      // scores: through the softmax from upstream value^T
      transpose(v, s, v_transposed);
      product({up, s.wide, 1}, v_transposed, d_probs, s.length, s.longer, s.width);
      softmax_gradient(probs, d_probs, of_scores + place, s);
      product({d_probs, s.longer, 1}, k, mixed, s.length, s.wide, s.length);
      unpack(mixed, s, task, scale, d_query, query_sums.of(thread));
      product({d_probs, 1, s.longer}, q, mixed, s.length, s.wide, s.length);
      unpack(mixed, s, task, 1.0f, d_key, key_sums.of(thread));
    }
  });
  query_sums.write(args.floats(14));
  key_sums.write(args.floats(15));
  value_sums.write(args.floats(16));
  return 0;
}
