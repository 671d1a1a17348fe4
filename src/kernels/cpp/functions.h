// Elementary functions that compilers can vectorize: no branch, no table; NaN gives NaN.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

template <class To, class From>
inline __attribute__((always_inline)) To bits_as(From from) {
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

// The value of a float16. Subnormal ones are multiples of 2^-24; of the others the exponent's bias is raised
// from 15 to 127, the largest exponent (infinity, NaN) stays the largest.
inline __attribute__((always_inline)) float float_of_half(uint16_t half) {
  const uint32_t magnitude = half & 0x7fffu, sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t bias = magnitude < 0x7c00u ? (127u - 15u) << 23 : 0x7f800000u - (0x7c00u << 13);
  const uint32_t small = bits_as<uint32_t>(static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f);
  return bits_as<float>((magnitude < 0x400u ? small : (magnitude << 13) + bias) | sign);
}

// exp(x) for x <= 0, relative error below 2e-7; zero below -87.3, where results would be subnormal.
inline __attribute__((always_inline)) float exp_below_zero(float x) {
  const float lowest = -87.3f, rounding = 12582912.0f;  // adding 1.5 * 2^23 rounds to an integer
  const float y = x < lowest ? lowest : x;
  const float shifted = y * 1.44269504f + rounding;
  const float k = shifted - rounding;
  // ln 2 in two parts: k * 0.693359375 is exact
  const float r = (y - k * 0.693359375f) + k * 2.12194440e-4f;
  float p = 1.9875691500e-4f;  // Cephes' expf
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const uint32_t exponent = bits_as<uint32_t>(shifted) - bits_as<uint32_t>(rounding) + 127u;
  const float power = bits_as<float>(exponent << 23);
  return x < lowest ? 0.0f : p * power;
}

// The standard normal distribution at x: cumulative (absolute error below 3e-7, relative 1e-6 in the lower
// tail, where 1 + erf cancels) and density.
inline __attribute__((always_inline)) void normal(float x, float &cumulative, float &density) {
  const float bell = exp_below_zero(-0.5f * x * x);
  // erfc(z) = exp(-z^2) P(t), t = 1 / (1 + z / 2), P fitted to minimize the relative error on z in [0, 10]
  const float t = 1.0f / (1.0f + 0.35355339f * std::fabs(x));
  float p = -0.02953447215259075f;
  p = p * t + 0.1422874480485916f;
  p = p * t - 0.24359987676143646f;
  p = p * t + 0.1390334963798523f;
  p = p * t - 0.013312778435647488f;
  p = p * t + 0.10134341567754745f;
  p = p * t + 0.12155188620090485f;
  p = p * t + 0.1411876529455185f;
  p = p * t + 0.14104321599006653f;
  const float tail = bell * p * t;
  cumulative = x < 0.0f ? tail : 1.0f - tail;
  density = bell * 0.39894228f;
}
