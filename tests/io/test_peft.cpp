// PEFT's folders, made by hand from its formulas, against merged weights; what we write, read again.
#include <Eigen/Dense>
#include <catch2/catch.hpp>
#include <cmath>
#include <map>

#include "adapters/adapter_cases.h"
#include "core/error.h"
#include "io/peft.h"
#include "io/temporary_folder.h"

namespace gsnet {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Catch::Contains;

Description network() {
  return {{4, 7, 7},
          {{"stem.conv", "conv2d", {}, {{"channels", int64_t{8}}, {"kernel", int64_t{3}}, {"padding", int64_t{1}}}},
           {"conv", "conv2d", {}, {{"channels", int64_t{6}}, {"kernel", int64_t{1}}}},
           {"dw", "conv2d", {}, {{"channels", int64_t{6}}, {"groups", int64_t{6}}, {"kernel", int64_t{3}}}},
           {"norm", "batch_norm", {}, {}},
           {"wide", "conv2d", {}, {{"channels", int64_t{8}}, {"kernel", std::vector<int64_t>{1, 3}}}},
           {"pool", "pool", {}, {{"global", true}}},
           {"flatten", "flatten", {}, {}},
           {"fc", "linear", {}, {{"features", int64_t{3}}}}}};
}

class Net {
 public:
  explicit Net(Backend& backend) {
    model.info.description = network();
    model.graph = std::make_unique<Graph>(network(), backend, RandomKey(5));
  }
  Matrix weight(const std::string& layer) { return matrix(layer, ".weight"); }
  Matrix matrix(const std::string& layer, const std::string& leaf) {
    for (const NamedTensor& one : state_of(*model.graph)) {
      if (one.name != layer + leaf) continue;
      const auto values = test::numbers(model.graph->backend(), *one.tensor);
      const int64_t rows = one.tensor->shape()[0];
      return Eigen::Map<const Matrix>(values.data(), rows, static_cast<int64_t>(values.size()) / rows);
    }
    throw std::runtime_error("no " + layer);
  }
  Model model;
};

/// The network with the folder's adapter folded in.
Net merged(Backend& backend, const io::AdapterFile& file) {
  Net net(backend);
  io::AdaptedModel adapted = io::adaptable(std::move(net.model), std::nullopt, file.saved);
  io::put_adapter(file, adapted, "a");
  adapted.bank->merge();
  net.model = std::move(adapted.model);
  return net;
}

Tensor random(const Shape& shape, uint64_t seed, double size = 0.3) {
  Random numbers{RandomKey(seed)};
  Tensor made = Tensor::empty(shape, DType::f64);
  for (double& value : made.host<double>()) value = size * numbers.normal();
  return made;
}

Matrix matrix_of(const Tensor& x) {
  return Eigen::Map<const Matrix>(x.data<double>(), x.shape()[0], x.numel() / x.shape()[0]);
}

struct Folder {
  test::TemporaryFolder at;
  io::TensorFile tensors;

  void put(const std::string& name, const Tensor& tensor) {
    tensors.tensors.emplace_back("base_model.model." + name, tensor);
  }
  void write(const std::string& config) const {
    test::put_bytes(at / "adapter_config.json", config);
    io::write_safetensors(at / "adapter_model.safetensors", tensors);
  }
};

Matrix skew(const double* v, int64_t b) {
  Matrix k = Matrix::Zero(b, b);
  for (int64_t i = 0; i < b; ++i) {
    for (int64_t j = i + 1; j < b; ++j) k(i, j) = *v++, k(j, i) = -k(i, j);
  }
  return k;
}

Matrix peft_cayley(const Matrix& k) {
  const Matrix identity = Matrix::Identity(k.rows(), k.cols());
  return (identity - k) * (identity + k).inverse();
}

/// As PEFT's loop has it.
Matrix peft_neumann(const Matrix& k, int terms) {
  Matrix r = Matrix::Identity(k.rows(), k.cols());
  if (terms > 1) r += 2 * k;
  if (terms > 2) {
    Matrix power = k * k;
    r += 2 * power;
    for (int i = 3; i < terms - 1; ++i) power = power * k, r += 2 * power;
    r += power * k;
  }
  return r;
}

/// W Q' with Q of blocks f(K), K from rows of triangles; one row for all where they are shared.
template <class F>
Matrix turned(const Matrix& w, const Tensor& v, int64_t b, F&& f) {
  Matrix q = Matrix::Zero(w.cols(), w.cols());
  for (int64_t block = 0; block < w.cols() / b; ++block) {
    const int64_t row = v.shape()[0] == 1 ? 0 : block;
    q.block(block * b, block * b, b, b) = f(skew(v.data<double>() + row * v.shape()[1], b));
  }
  return w * q.transpose();
}

double off(const Matrix& a, const Matrix& b) { return (a - b).cwiseAbs().maxCoeff(); }

constexpr const char* kPlainLora = R"({"peft_type": "LORA", "r": 2, "lora_alpha": 3})";

}  // namespace

TEST_CASE("LoRA of PEFT: ranks and alphas by pattern, rank-stabilised, with biases", "[peft]") {
  const auto backend = make_backend({"reference", 1});
  Net base(*backend);
  for (const bool stabilised : {false, true}) {
    Folder folder;
    const Tensor a = random({2, 4, 3, 3}, 1), b = random({8, 2, 1, 1}, 2), a1 = random({3, 8, 1, 1}, 3),
                 b1 = random({6, 3, 1, 1}, 4), a2 = random({5, 8}, 5), b2 = random({3, 5}, 6);
    folder.put("stem.conv.lora_A.weight", a);
    folder.put("stem.conv.lora_B.weight", b);
    folder.put("conv.lora_A.weight", a1);
    folder.put("conv.lora_B.weight", b1);
    // Without the prefix, as injected adapters are; five rows on a matrix of three: the product counts.
    folder.tensors.tensors.emplace_back("fc.lora_A.weight", a2);
    folder.tensors.tensors.emplace_back("fc.lora_B.weight", b2);
    const Tensor added = random({3}, 7), bias = random({8}, 8), scale = random({6}, 9);
    folder.put("fc.lora_B.bias", added);
    folder.put("stem.conv.base_layer.bias", bias);
    folder.put("norm.weight", scale);
    folder.put("norm.num_batches_tracked", Tensor::of<int64_t>({1}, {3}));
    folder.write(std::string(R"({"peft_type": "LORA", "r": 2, "lora_alpha": 3.5, "a_key_of_tomorrow": [1],
      "rank_pattern": {"^conv": 3, "f.": 5}, "alpha_pattern": {"(stem\\.)conv": 7}, "bias": "lora_only",
      "target_modules": ["conv", "fc"], "modules_to_save": ["norm"], "lora_bias": true, "use_rslora": )") +
                 (stabilised ? "true}" : "false}"));
    const io::AdapterFile file = io::read_peft(folder.at.path(), *base.model.graph);
    Net net = merged(*backend, file);
    const auto s = [&](double alpha, double r) { return stabilised ? alpha / std::sqrt(r) : alpha / r; };
    CHECK(off(net.weight("stem.conv"), base.weight("stem.conv") + s(7, 2) * matrix_of(b) * matrix_of(a)) < 1e-12);
    CHECK(off(net.weight("conv"), base.weight("conv") + s(3.5, 3) * matrix_of(b1) * matrix_of(a1)) < 1e-12);
    CHECK(off(net.weight("fc"), base.weight("fc") + s(3.5, 5) * matrix_of(b2) * matrix_of(a2)) < 1e-12);
    CHECK(off(net.matrix("fc", ".bias"), base.matrix("fc", ".bias") + s(3.5, 5) * matrix_of(added)) < 1e-12);
    CHECK(off(net.matrix("stem.conv", ".bias"), matrix_of(bias)) < 1e-12);
    CHECK(off(net.matrix("norm", ".weight"), matrix_of(scale)) < 1e-12);
  }
}

TEST_CASE("DoRA of PEFT", "[peft]") {
  const auto backend = make_backend({"reference", 1});
  Net base(*backend);
  Folder folder;
  const Tensor a = random({2, 4, 3, 3}, 1), b = random({8, 2, 1, 1}, 2), length = random({1, 8, 1, 1}, 3, 2);
  folder.put("stem.conv.lora_A.weight", a);
  folder.put("stem.conv.lora_B.weight", b);
  folder.put("stem.conv.lora_magnitude_vector", length);
  folder.write(R"({"peft_type": "LORA", "r": 2, "lora_alpha": 3, "use_dora": true})");
  Matrix wanted = base.weight("stem.conv") + 1.5 * matrix_of(b) * matrix_of(a);
  for (int64_t o = 0; o < 8; ++o) wanted.row(o) *= length.data<double>()[o] / wanted.row(o).norm();
  CHECK(off(merged(*backend, io::read_peft(folder.at.path(), *base.model.graph)).weight("stem.conv"), wanted) < 1e-12);
}

TEST_CASE("OFT of PEFT: exact, polynomials, held back, shared", "[peft]") {
  const auto backend = make_backend({"reference", 1});
  Net base(*backend);
  const auto check = [&](const std::string& settings, bool share, double held, auto&& f) {
    INFO(settings);
    Folder folder;
    // The config's block of 7 divides neither: PEFT makes 6 and 8 of it.
    Tensor conv = random({share ? 1 : 6, 15}, 1), fc = random({1, 28}, 2);
    folder.put("stem.conv.oft_R.weight", conv);
    folder.put("fc.oft_R.weight", fc);
    folder.write(R"({"peft_type": "OFT", "r": 0, "oft_block_size": 7, )" + settings + "}");
    for (Tensor* v : {&conv, &fc}) {
      const int64_t rows = v->shape()[0], columns = v->shape()[1];
      for (int64_t row = 0; row < rows && held > 0; ++row) {
        Eigen::Map<Eigen::VectorXd> k(v->data<double>() + row * columns, columns);
        const double norm = k.norm() * std::sqrt(2.0), most = held / std::sqrt(static_cast<double>(rows));
        if (norm > most) k *= most / norm;
      }
    }
    Net net = merged(*backend, io::read_peft(folder.at.path(), *base.model.graph));
    CHECK(off(net.weight("stem.conv"), turned(base.weight("stem.conv"), conv, 6, f)) < 1e-12);
    CHECK(off(net.weight("fc"), turned(base.weight("fc"), fc, 8, f)) < 1e-12);
  };
  check(R"("use_cayley_neumann": false)", false, 0, peft_cayley);
  check(R"("use_cayley_neumann": false, "coft": true, "eps": 0.1)", false, 0.1, peft_cayley);
  check(R"("use_cayley_neumann": false, "block_share": true)", true, 0, peft_cayley);
  check(R"("module_dropout": 0.1)", false, 0, [](const Matrix& k) { return peft_neumann(k, 5); });
  for (int terms = 1; terms <= 8; ++terms) {
    check(R"("num_cayley_neumann_terms": )" + std::to_string(terms), false, 0,
          [&](const Matrix& k) { return peft_neumann(k, terms); });
  }
}

TEST_CASE("BOFT of PEFT, of one to three factors", "[peft]") {
  const auto backend = make_backend({"reference", 1});
  Net base(*backend);
  for (const int64_t m : {1, 2, 3}) {
    const int64_t n = 8, b = 2, blocks = n / b;
    Folder folder;
    const Tensor r = random({m, blocks, b, b}, 1), s = random({3, 1}, 2);
    folder.put("fc.boft_R", r);
    folder.put("fc.boft_s", s);
    // The config may say more factors than a machine without its CUDA extension has trained.
    folder.write(R"({"peft_type": "BOFT", "boft_block_size": 2, "boft_n_butterfly_factor": 3})");
    Matrix q = Matrix::Identity(n, n);
    for (int64_t i = 0; i < m; ++i) {
      Matrix diagonal = Matrix::Zero(n, n), p = Matrix::Zero(n, n);
      for (int64_t block = 0; block < blocks; ++block) {
        const Eigen::Map<const Matrix> x(r.data<double>() + (i * blocks + block) * b * b, b, b);
        diagonal.block(block * b, block * b, b, b) = peft_cayley(0.5 * (x - x.transpose()));
      }
      const int64_t run = n / (blocks >> i), half = b / 2, halves = run / half;  // even halves first, then odd ones
      for (int64_t begin = 0; begin < n; begin += run) {
        for (int64_t h = 0; h < halves; ++h) {
          const int64_t from = h < halves / 2 ? 2 * h : 2 * (h - halves / 2) + 1;
          for (int64_t t = 0; t < half; ++t) p(begin + h * half + t, begin + from * half + t) = 1;
        }
      }
      if (m == 1) p.setIdentity();
      q = (p * diagonal * p.transpose() * q).eval();
    }
    const Matrix wanted =
        Eigen::Map<const Eigen::VectorXd>(s.data<double>(), 3).asDiagonal() * (base.weight("fc") * q.transpose());
    CHECK(off(merged(*backend, io::read_peft(folder.at.path(), *base.model.graph)).weight("fc"), wanted) < 1e-12);
  }
}

TEST_CASE("what is written for PEFT reads back as the same weights", "[peft]") {
  const auto backend = make_backend({"reference", 1});
  const auto spec = [](AdapterKind kind, auto&& change) {
    AdapterSpec made;
    made.kind = kind;
    made.rank = 2;
    made.block = 2;
    made.factors = kind == AdapterKind::oft ? 1 : 2;
    change(made);
    return made;
  };
  const auto channel = RotationForm::channel, kernel = RotationForm::kernel;
  const std::vector<AdapterSpec> specs = {
      spec(AdapterKind::lora, [](AdapterSpec& s) { s.alpha = 5, s.rank_stabilised = true; }),
      spec(AdapterKind::dora, [](AdapterSpec& s) { s.alpha = 1; }),
      spec(AdapterKind::oft, [&](AdapterSpec& s) { s.form = kernel, s.block = 4; }),
      spec(AdapterKind::oft, [&](AdapterSpec& s) { s.form = kernel, s.share = true, s.constraint = 0.2; }),
      spec(AdapterKind::oft, [&](AdapterSpec& s) { s.form = kernel, s.map = OrthogonalMap::neumann, s.terms = 6; }),
      spec(AdapterKind::oft, [&](AdapterSpec& s) { s.form = kernel, s.map = OrthogonalMap::exp; }),
      spec(AdapterKind::oft, [&](AdapterSpec& s) { s.form = kernel, s.scale = true; }),
      spec(AdapterKind::boft, [&](AdapterSpec& s) { s.form = kernel, s.scale = true; }),
      spec(AdapterKind::boft, [&](AdapterSpec& s) { s.form = kernel, s.map = OrthogonalMap::exp; })};
  for (const AdapterSpec& one : specs) {
    INFO(test::name_of(one));
    Net net(*backend);
    AdapterBank bank(*net.model.graph);
    bank.attach("a", one, {.layers = {"re:stem.conv|conv|fc"}}, RandomKey(1));
    test::disturb(*net.model.graph, bank, "a", 30);
    const io::AdapterFile file = io::adapter_of(*net.model.graph, bank, "a", {"norm"});
    const test::TemporaryFolder folder;
    io::write_peft(folder / "new", file, *net.model.graph);
    Net ours = merged(*backend, file), theirs = merged(*backend, io::read_peft(folder / "new", *net.model.graph));
    for (const char* layer : {"stem.conv", "conv", "fc"}) CHECK(off(ours.weight(layer), theirs.weight(layer)) < 1e-6);
    CHECK(off(theirs.weight("fc"), Net(*backend).weight("fc")) > 0.01);
    CHECK(test::bytes_of(folder / "new" / "adapter_config.json").find("\"modules_to_save\": [") != std::string::npos);
  }
  // Rotations of channels turn all taps of a channel together.
  for (AdapterSpec one : {specs[2], specs[3], specs[7]}) {
    one.form = channel;
    Net net(*backend);
    AdapterBank bank(*net.model.graph);
    bank.attach("a", one, {.layers = {"stem.conv"}}, RandomKey(1));
    test::disturb(*net.model.graph, bank, "a", 30);
    const io::AdapterFile file = io::adapter_of(*net.model.graph, bank, "a", {});
    const test::TemporaryFolder folder;
    io::write_peft(folder.path(), file, *net.model.graph);
    Net ours = merged(*backend, file), theirs = merged(*backend, io::read_peft(folder.path(), *net.model.graph));
    CHECK(off(ours.weight("stem.conv"), theirs.weight("stem.conv")) < 1e-6);
  }
}

TEST_CASE("layers are named to PEFT so that no other answers", "[peft]") {
  const auto backend = make_backend({"reference", 1});
  Net net(*backend);
  const auto config_of = [&](const std::vector<std::string>& layers) {
    AdapterBank bank(*net.model.graph);
    AdapterSpec spec;
    spec.kind = AdapterKind::lora;
    spec.rank = 1;
    bank.attach("a", spec, {.layers = layers}, RandomKey(1));
    const test::TemporaryFolder folder;
    io::write_peft(folder.path(), io::adapter_of(*net.model.graph, bank, "a", {}), *net.model.graph);
    bank.remove("a");
    return test::bytes_of(folder / "adapter_config.json");
  };
  CHECK_THAT(config_of({"stem.conv"}), Contains("\"stem.conv\"\n"));
  CHECK_THAT(config_of({"re:conv"}), Contains(R"("target_modules": "conv")"));  // "stem.conv" ends with it
  CHECK_THAT(config_of({"re:conv|fc"}), Contains(R"("target_modules": "conv|fc")"));
}

TEST_CASE("adapters that PEFT's files cannot say are refused, and nothing is written", "[peft]") {
  const auto backend = make_backend({"reference", 1});
  const auto refusal = [&](AdapterSpec spec, const std::string& layer, const std::vector<std::string>& saved = {}) {
    Net net(*backend);
    AdapterBank bank(*net.model.graph);
    spec.block = 4;
    spec.rank = 1;
    bank.attach("a", spec, {.layers = {layer}}, RandomKey(1));
    const test::TemporaryFolder folder;
    std::string message = "nothing";
    try {
      io::write_peft(folder / "new", io::adapter_of(*net.model.graph, bank, "a", saved), *net.model.graph);
    } catch (const Error& error) {
      message = error.what();
    }
    CHECK(folder.files() == 0);
    return message;
  };
  AdapterSpec spec;
  CHECK_THAT(refusal(spec, "fc"), Contains("layer 'fc': PEFT has no gsoft"));
  spec.kind = AdapterKind::oft;
  spec.form = RotationForm::kernel;
  CHECK_THAT(refusal(spec, "wide"), Contains("square kernels only, this is 1 x 3"));
  CHECK_THAT(refusal(spec, "dw"), Contains("6 groups"));
  CHECK_THAT(refusal(spec, "fc", {"fc"}), Contains("trained as a whole and is adapted too"));
  spec.map = OrthogonalMap::neumann;
  spec.terms = 3;
  CHECK_THAT(refusal(spec, "fc"), Contains("three terms"));
  spec = {};
  spec.kind = AdapterKind::lora;
  CHECK_THAT(refusal(spec, "dw"), Contains("6 groups"));
}

TEST_CASE("hostile and foreign PEFT folders are one clear error", "[peft]") {
  const auto backend = make_backend({"reference", 1});
  Net net(*backend);
  const auto refusal = [&](const std::string& config, const std::vector<std::pair<std::string, Tensor>>& tensors) {
    Folder folder;
    for (const auto& [name, tensor] : tensors) folder.put(name, tensor);
    folder.write(config);
    try {
      io::read_peft(folder.at.path(), *net.model.graph);
    } catch (const Error& error) {
      const std::string message = error.what();
      CHECK_THAT(message, Contains(folder.at.path().string()));
      return message;
    }
    return std::string("nothing");
  };
  const Tensor a = random({2, 8}, 1), b = random({3, 2}, 2);
  const std::vector<std::pair<std::string, Tensor>> good = {{"fc.lora_A.weight", a}, {"fc.lora_B.weight", b}};
  CHECK(refusal(kPlainLora, good) == "nothing");
  CHECK_THAT(refusal("{", good), Contains("does not parse"));
  CHECK_THAT(refusal("[]", good), Contains("must be an object"));
  CHECK_THAT(refusal("{}", good), Contains("no 'peft_type'"));
  CHECK_THAT(refusal(R"({"peft_type": "LOHA"})", good), Contains("LORA, OFT and BOFT"));
  CHECK_THAT(refusal(R"({"peft_type": "OFT", "r": 0, "oft_block_size": 4})", good), Contains("another method"));
  CHECK_THAT(refusal(R"({"peft_type": "OFT", "r": 2, "oft_block_size": 4})", good), Contains("the other 0"));
  CHECK_THAT(refusal(R"({"peft_type": "OFT", "r": 2})", good), Contains("before PEFT 0.14"));
  CHECK_THAT(refusal(R"({"peft_type": "BOFT", "boft_block_size": 0})", good), Contains("the other 0"));
  CHECK_THAT(refusal(R"({"peft_type": "LORA", "r": 4})", good), Contains("rank of 4"));
  CHECK_THAT(refusal(R"({"peft_type": "LORA", "r": -1})", good), Contains("'r' must be 0"));
  CHECK_THAT(refusal(R"({"peft_type": "LORA", "r": "2"})", good), Contains("'r' must be a whole number"));
  CHECK_THAT(refusal(R"({"peft_type": "LORA", "r": 2, "lora_alpha": 0})", good), Contains("must be positive"));
  CHECK_THAT(refusal(R"({"peft_type": "LORA", "r": 2, "init_lora_weights": "pissa_niter_4"})", good),
             Contains("changes the base"));
  CHECK_THAT(refusal(R"({"peft_type": "LORA", "r": 2, "target_parameters": ["x"]})", good),
             Contains("'target_parameters'"));
  CHECK_THAT(refusal(R"({"peft_type": "LORA", "r": 2, "rank_pattern": {"(a+)+b": 2}})", good),
             Contains("repeats a group"));
  CHECK_THAT(refusal(R"({"peft_type": "LORA", "r": 2, "rank_pattern": {"(a": 2}})", good),
             Contains("no regular expression"));
  CHECK_THAT(refusal(kPlainLora, {{"fc.lora_A.weight", a}}), Contains("no 'lora_B.weight'"));
  CHECK_THAT(refusal(kPlainLora, {{"none.lora_A.weight", a}}), Contains("'none', which the network has not"));
  CHECK_THAT(refusal(kPlainLora, {{"norm.lora_A.weight", a}}), Contains("cannot take an adapter"));
  CHECK_THAT(refusal(kPlainLora, {{"dw.lora_A.weight", a}}), Contains("6 groups"));
  CHECK_THAT(refusal(kPlainLora, {{"fc.lora_A.weight", b}, {"fc.lora_B.weight", b}}), Contains("expected (2, 8)"));
  CHECK_THAT(refusal(kPlainLora, {{"fc.lora_embedding_A", a}}), Contains("neither of the method"));
  CHECK_THAT(refusal(kPlainLora, {{"fc.bias", a}}), Contains("expected (3)"));
  CHECK_THAT(refusal(kPlainLora, {{"fc.lora_A.weight", Tensor::of<double>({2, 1}, {1, NAN})}}), Contains("nan"));
  CHECK_THAT(refusal(kPlainLora, {}), Contains("no tensors"));
  const std::string oft = R"({"peft_type": "OFT", "r": 0, "oft_block_size": 4, "use_cayley_neumann": false})";
  CHECK(refusal(oft, {{"fc.oft_R.weight", random({2, 6}, 1)}}) == "nothing");
  CHECK_THAT(refusal(oft, {{"fc.oft_R.weight", random({2, 5}, 1)}}), Contains("b (b - 1) / 2"));
  CHECK_THAT(refusal(oft, {{"fc.oft_R.weight", random({3, 6}, 1)}}), Contains("3 blocks of 4"));
  CHECK_THAT(refusal(oft, {{"fc.oft_r", random({2, 4, 4}, 1)}}), Contains("before PEFT 0.14"));
  const std::string boft = R"({"peft_type": "BOFT"})";
  CHECK_THAT(refusal(boft, {{"fc.boft_R", random({1, 2, 4, 4}, 1)}}), Contains("no 'boft_s'"));
  CHECK_THAT(refusal(boft, {{"fc.boft_R", random({1, 2, 4, 3}, 1)}, {"fc.boft_s", random({3, 1}, 1)}}),
             Contains("(factors, 8 / b, b, b)"));
  CHECK_THAT(refusal(boft, {{"fc.boft_R", random({3, 2, 4, 4}, 1)}, {"fc.boft_s", random({3, 1}, 1)}}),
             Contains("butterfly of 3 factors"));
  const test::TemporaryFolder empty;
  CHECK_THROWS_WITH(io::read_peft(empty.path(), *net.model.graph), Contains("adapter_config.json"));
  test::put_bytes(empty / "adapter_config.json", kPlainLora);
  test::put_bytes(empty / "adapter_model.bin", "pickle");
  CHECK_THROWS_WITH(io::read_peft(empty.path(), *net.model.graph), Contains("a pickle"));
  test::put_bytes(empty / "adapter_model.safetensors", "cut");
  CHECK_THROWS_WITH(io::read_peft(empty.path(), *net.model.graph), Contains("adapter_model.safetensors"));
}

}  // namespace gsnet
