// Pickles as data: what is read, and that nothing else is.
#include <catch2/catch.hpp>

#include "core/error.h"
#include "core/pickle.h"
#include "core/pickle_opcodes.h"
#include "tests/io/torch_bytes.h"

namespace gsnet {
namespace {

using Catch::Matchers::Contains;
using Kind = PickleValue::Kind;
using test::proto, test::integer, test::text, test::global, test::little;

constexpr std::string_view kAllowed[] = {"collections.OrderedDict", "torch.Size"};

Pickle read(const std::string& bytes) { return read_pickle(bytes, 0, kAllowed); }

PickleValue value(const std::string& body) {
  const Pickle pickle = read(proto(body));
  CHECK(pickle.end == body.size() + 3);
  return pickle.at(pickle.root);
}

}  // namespace

TEST_CASE("plain values of a pickle", "[pickle]") {
  CHECK(value("N").kind == Kind::none);
  CHECK(value("\x88").integer == 1);
  CHECK(value("K\xff").integer == 255);
  CHECK(value(std::string("M\x01\x02")).integer == 0x201);
  CHECK(value("J\xfe\xff\xff\xff").integer == -2);
  CHECK(value("\x8a\x01\xff").integer == -1);
  CHECK(value(std::string("\x8a\x02\xff\x00", 4)).integer == 255);
  CHECK(value(std::string("\x8a\x00", 2)).integer == 0);
  CHECK(value(integer(INT64_MIN)).integer == INT64_MIN);
  CHECK(value("\x8a\x09" + std::string(9, 'x')).kind == Kind::long_integer);
  CHECK(value(std::string("G\x3f\xe0\x00\x00\x00\x00\x00\x00", 9)).real == 0.5);
  CHECK(value(text("abc")).text == "abc");
  CHECK(value("\x8c\x02hi").text == "hi");
  CHECK(value("\x8d" + little(2, 8) + "hi").text == "hi");
  CHECK(value("C\x02hi").kind == Kind::bytes);
  CHECK(value("(K\x01K\x02t").items.size() == 2);
  CHECK(value("K\x01K\x02K\x03\x87").items.size() == 3);
  CHECK(value("](K\x01K\x02"
              "e")
            .items.size() == 2);
  CHECK(value("}K\x01K\x02s").items.size() == 2);
  CHECK(value("K\x07q\x05"
              "0h\x05")
            .integer == 7);
  CHECK(value("K\x07\x94"
              "0j" +
              little(0, 4))
            .integer == 7);
  CHECK(value("K\x01"
              "2\x86")
            .items == std::vector<uint32_t>{0, 0});
  CHECK(value("\x95" + little(2, 8) + "N").kind == Kind::none);
  CHECK(value(text("x") + "Q").kind == Kind::persistent);
  CHECK(value(global("torch", "Size") + "K\x02\x85R").kind == Kind::call);
  CHECK(value("\x8c\x05torch\x8c\x04Size\x93").text == "torch.Size");
  const std::string ordered = global("collections", "OrderedDict");
  CHECK(value(ordered + ")R").kind == Kind::dict);
  CHECK(value(ordered + ")R}b").kind == Kind::dict);
  CHECK(value(ordered + "]](K\x01K\x02"
                        "ea\x85R")
            .items.size() == 2);
}

TEST_CASE("a pickle that would run something is refused by name", "[pickle]") {
  CHECK_THROWS_WITH(value(global("os", "system") + text("id") + "\x85R"),
                    Contains("os.system") && Contains("GLOBAL") && Contains("byte 2"));
  CHECK_THROWS_WITH(value(text("builtins") + text("eval") + "\x93"),
                    Contains("builtins.eval") && Contains("STACK_GLOBAL"));
  CHECK_THROWS_WITH(value(global("torch", "Size.__class__")), Contains("Size.__class__"));
  CHECK_THROWS_WITH(value("(" + text("id") + "ios\nsystem\n"), Contains("INST"));
  CHECK_THROWS_WITH(value(global("torch", "Size") + ")\x81"), Contains("NEWOBJ"));
  CHECK_THROWS_WITH(value(text("os.system") + ")R"), Contains("expected a class"));
  CHECK_THROWS_WITH(value(std::string("\x82\x01")), Contains("EXT1"));
  CHECK_THROWS_WITH(value("\xff"), Contains("0xff"));
}

TEST_CASE("what is set on an object is kept as its state", "[pickle]") {
  const Pickle pickle = read(proto(global("torch", "Size") + ")R(K\x07K\x08tb"));
  const PickleValue& call = pickle.at(pickle.root);
  CHECK(call.kind == Kind::call);
  REQUIRE(call.state != PickleValue::kNoState);
  CHECK(pickle.at(call.state).items.size() == 2);
  CHECK(value("]").state == PickleValue::kNoState);
  CHECK_THROWS_WITH(value("]K\x01"
                          "b"),
                    Contains("expected a dict, got a list"));
}

TEST_CASE("operands that do not fit are refused with their place", "[pickle]") {
  CHECK_THROWS_WITH(value("X" + little(0xFFFFFFFF, 4) + "a"), Contains("4294967295 bytes, 2 are left"));
  CHECK_THROWS_WITH(value("\x8d" + little(UINT64_MAX, 8)), Contains("BINUNICODE8"));
  CHECK_THROWS_WITH(value("\x8b" + little(0x7FFFFFFF, 4)), Contains("LONG4"));
  CHECK_THROWS_WITH(value("h\x01"), Contains("entry 1 of the memo"));
  CHECK_THROWS_WITH(value("q\x01"), Contains("empty stack"));
  CHECK_THROWS_WITH(value("t"), Contains("no mark"));
  CHECK_THROWS_WITH(value("](0"), Contains("empty stack"));  // what lies under a mark stays
  CHECK_THROWS_WITH(value("(K\x01u"), Contains("key without a value"));
  CHECK_THROWS_WITH(value("NNa"), Contains("expected a list, got None"));
  CHECK_THROWS_WITH(value("NN"), Contains("2 values"));
  CHECK_THROWS_WITH(value(""), Contains("empty") || Contains("0 values"));
  CHECK_THROWS_WITH(read("\x80\x09N."), Contains("protocol 9"));
  CHECK_THROWS_WITH(read("N"), Contains("no end"));
  CHECK_THROWS_WITH(value("c" + std::string(300, 'a')), Contains("name without an end"));
  CHECK_THROWS_WITH(read_pickle("N.", 2, kAllowed), Contains("byte 2"));
}

TEST_CASE("a small pickle cannot ask for much", "[pickle]") {
  CHECK_THROWS_WITH(value(std::string((1U << 20U) + 1, 'N')), Contains("more than 1048576 values"));
  CHECK_THROWS_WITH(value(std::string(5000, '(')), Contains("marks deeper"));
  CHECK_THROWS_WITH(value("N" + std::string(1U << 20U, '2')), Contains("stack deeper"));
  std::string calls = "(" + std::string(1U << 19U, 'N') +
                      "tq\x01"
                      "0" +
                      global("torch", "Size") + "q\x02";
  for (int i = 0; i < 100; ++i) calls += "h\x02h\x01R0";
  CHECK_THROWS_WITH(value(calls), Contains("gives calls more than"));
}

TEST_CASE("opcode names", "[pickle]") {
  CHECK(opcode_name('R') == "REDUCE");
  CHECK(opcode_name(0x94) == "MEMOIZE");
  CHECK(opcode_name(0) == "0x00");
}

}  // namespace gsnet
