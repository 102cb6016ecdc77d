#include "data/digest.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <memory>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace gsnet::data {
namespace {

struct Algorithm {
  std::string_view prefix;
  size_t digits;
  const EVP_MD* (*make)();
};

constexpr std::array<Algorithm, 2> kAlgorithms = {{{"sha256:", 64, EVP_sha256}, {"md5:", 32, EVP_md5}}};

const Algorithm& algorithm_of(const std::string& digest) {
  for (const Algorithm& algorithm : kAlgorithms) {
    if (digest.starts_with(algorithm.prefix)) return algorithm;
  }
  throw Error(fmt::format("digest '{}': expected sha256:... or md5:...", digest));
}

std::string hexadecimal(const unsigned char* bytes, unsigned count) {
  std::string text;
  for (unsigned i = 0; i < count; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

}  // namespace

void check_digest_form(const std::string& digest) {
  const Algorithm& algorithm = algorithm_of(digest);
  const std::string_view digits = std::string_view(digest).substr(algorithm.prefix.size());
  const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  GSNET_CHECK(digits.size() == algorithm.digits && std::all_of(digits.begin(), digits.end(), is_digit),
              fmt::format("digest '{}': expected {} lower-case hexadecimal digits", digest, algorithm.digits));
}

std::string digest_of(const std::filesystem::path& file, const std::string& like) {
  const Algorithm& algorithm = algorithm_of(like);
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  bool good = context != nullptr && EVP_DigestInit_ex(context.get(), algorithm.make(), nullptr) == 1;
  std::ifstream stream(file, std::ios::binary);
  GSNET_CHECK(stream.good(), fmt::format("{}: cannot be opened for reading", file.string()));
  std::vector<char> piece(size_t{1} << 20U);
  while (good && stream) {
    stream.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    good = EVP_DigestUpdate(context.get(), piece.data(), static_cast<size_t>(stream.gcount())) == 1;
  }
  GSNET_CHECK(!stream.bad(), fmt::format("{}: cannot be read to its end", file.string()));
  std::array<unsigned char, EVP_MAX_MD_SIZE> value{};
  unsigned count = 0;
  good = good && EVP_DigestFinal_ex(context.get(), value.data(), &count) == 1;
  GSNET_CHECK(good, fmt::format("{}: OpenSSL cannot compute its {} digest here", file.string(),
                                algorithm.prefix.substr(0, algorithm.prefix.size() - 1)));
  return std::string(algorithm.prefix) + hexadecimal(value.data(), count);
}

}  // namespace gsnet::data
