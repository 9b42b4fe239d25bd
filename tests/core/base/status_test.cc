#include "core/base/status.h"

#include <gtest/gtest.h>

#include <memory>

namespace trireme {
namespace {

TEST(StatusTest, AnnotateKeepsTheCodeAndPutsTheContextFirst) {
  const Status status = Annotate(absl::NotFoundError("no file"), "model");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(status.message()), "model: no file");
  EXPECT_TRUE(Annotate(absl::OkStatus(), "model").ok());
}

TEST(StatusTest, TheUsersFaultsExitWithTwoTheWorldsWithOne) {
  EXPECT_EQ(ExitCode(absl::OkStatus()), 0);
  for (const Status& status :
       {absl::InvalidArgumentError(""), absl::NotFoundError(""), absl::FailedPreconditionError(""),
        absl::OutOfRangeError(""), absl::AlreadyExistsError("")}) {
    EXPECT_EQ(ExitCode(status), 2) << status;
  }
  for (const Status& status : {absl::UnavailableError(""), absl::DeadlineExceededError(""), absl::DataLossError(""),
                               absl::InternalError(""), absl::ResourceExhaustedError("")}) {
    EXPECT_EQ(ExitCode(status), 1) << status;
  }
}

StatusOr<std::unique_ptr<int>> Make(int value) {
  if (value < 0) return absl::InvalidArgumentError("negative");
  return std::make_unique<int>(value);
}

StatusOr<int> Add(int a, int b) {
  TRIREME_ASSIGN_OR_RETURN(const std::unique_ptr<int> x, Make(a));
  TRIREME_ASSIGN_OR_RETURN(const std::unique_ptr<int> y, Make(b));
  return *x + *y;
}

TEST(StatusTest, AssignOrReturnMovesOrReturns) {
  EXPECT_EQ(*Add(2, 3), 5);
  EXPECT_EQ(Add(2, -3).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Add(-2, 3).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace trireme
