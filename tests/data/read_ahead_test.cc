#include "data/loader/read_ahead.h"

#include <gtest/gtest.h>

#include <atomic>

namespace trireme {
namespace {

TEST(ReadAhead, GivesEveryValueOnceAndInOrder) {
  for (const int threads : {1, 3}) {
    for (const int64_t ahead : {1, 2, 7}) {
      std::atomic<int> calls{0};
      ReadAhead<std::unique_ptr<int64_t>> reader(50, threads, ahead, [&calls](int64_t index) {
        ++calls;
        if (index % 5 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        return std::make_unique<int64_t>(10 * index);
      });
      std::unique_ptr<int64_t> value;
      for (int64_t i = 0; i < 50; ++i) {
        ASSERT_TRUE(reader.Next(&value));
        ASSERT_EQ(*value, 10 * i);
      }
      EXPECT_FALSE(reader.Next(&value));
      EXPECT_FALSE(reader.Next(&value));
      EXPECT_EQ(calls, 50);
    }
  }
}

TEST(ReadAhead, GoesNoFurtherThanItIsTold) {
  std::atomic<int64_t> furthest{-1};
  ReadAhead<int> reader(1000, 2, 4, [&furthest](int64_t index) {
    furthest = std::max<int64_t>(furthest, index);
    return 0;
  });
  int value = 0;
  for (int i = 0; i < 10; ++i) reader.Next(&value);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_LE(furthest, 13);
  EXPECT_GE(furthest, 9);
}

TEST(ReadAhead, WaitsNoLongerThanItIsTold) {
  std::atomic<bool> may_go{false};
  ReadAhead<int> reader(2, 1, 1, [&may_go](int64_t index) {
    while (index == 1 && !may_go) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return static_cast<int>(index);
  });
  int value = -1;
  ASSERT_TRUE(reader.NextWithin(60, &value));
  EXPECT_EQ(value, 0);
  EXPECT_FALSE(reader.NextWithin(0, &value));
  EXPECT_FALSE(reader.NextWithin(0.01, &value));
  EXPECT_FALSE(reader.done());
  may_go = true;
  ASSERT_TRUE(reader.NextWithin(60, &value));
  EXPECT_EQ(value, 1);
  EXPECT_TRUE(reader.done());
  EXPECT_FALSE(reader.NextWithin(60, &value));
}

TEST(ReadAhead, StopsWhereverItIs) {
  for (int i = 0; i < 50; ++i) {
    ReadAhead<int> reader(i, 1 + i % 3, 3, [](int64_t index) { return static_cast<int>(index); });
    int value = 0;
    for (int taken = 0; taken < i / 2; ++taken) ASSERT_TRUE(reader.Next(&value));
  }
}

}  // namespace
}  // namespace trireme
