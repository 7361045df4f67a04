// The smallest test frame: TEST("rule") { ... CHECK(condition); } and a closing line "N passed, N failed".
#pragma once

#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

namespace qkme::test {

struct Case { const char* name; void (*run)(); };
inline std::vector<Case>& Cases() { static std::vector<Case> all; return all; }
inline bool& Failed() { static bool failed = false; return failed; }
struct Add { Add(const char* name, void (*run)()) { Cases().push_back({name, run}); } };

inline int RunAll() {
  int passed = 0, failed = 0;
  for (const Case& c : Cases()) {
    Failed() = false;
    try {
      c.run();
    } catch (const std::exception& e) {
      std::printf("  unexpected exception: %s\n", e.what());
      Failed() = true;
    }
    std::printf("%s %s\n", Failed() ? "not ok" : "ok", c.name);
    std::fflush(stdout);
    (Failed() ? failed : passed) += 1;
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace qkme::test

#define QKME_JOIN2(a, b) a##b
#define QKME_JOIN(a, b) QKME_JOIN2(a, b)
#define TEST(name)                                                                        \
  static void QKME_JOIN(Test, __LINE__)();                                                \
  static const qkme::test::Add QKME_JOIN(add, __LINE__)(name, QKME_JOIN(Test, __LINE__)); \
  static void QKME_JOIN(Test, __LINE__)()

/// Ends the test case when it does not hold. In functions that return void.
#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      std::printf("  %s:%d: not true: %s\n", __FILE__, __LINE__, #condition);   \
      qkme::test::Failed() = true;                                              \
      return;                                                                   \
    }                                                                           \
  } while (0)

#define THROWS(expression, part)                                                                        \
  do {                                                                                                  \
    std::string message = "(nothing thrown)";                                                           \
    try { (void)(expression); } catch (const std::exception& e) { message = e.what(); }                 \
    if (message.find(part) == std::string::npos) {                                                      \
      std::printf("  %s:%d: expected \"%s\", got: %s\n", __FILE__, __LINE__, part, message.c_str());    \
      qkme::test::Failed() = true;                                                                      \
      return;                                                                                           \
    }                                                                                                   \
  } while (0)

#define TEST_MAIN() \
  int main() { return qkme::test::RunAll(); }
