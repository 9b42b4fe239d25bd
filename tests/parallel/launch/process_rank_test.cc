// What each launcher's environment says of a process.
#include "parallel/launch/process_rank.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <map>

#include "parallel/launch/job_secret.h"
#include "parallel/launch/process_id.h"

namespace trireme {
namespace {

Environment Of(const std::map<std::string, std::string>& variables) {
  return [&variables](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  };
}

StatusOr<std::optional<ProcessRank>> Find(const std::map<std::string, std::string>& variables) {
  return FindProcessRank(Of(variables));
}

TEST(ProcessRankTest, NoneIsFoundWhereNoneIs) {
  EXPECT_FALSE(Find({})->has_value());
  EXPECT_FALSE(Find({{"RANK", "3"}})->has_value());
  EXPECT_FALSE(Find({{"WORLD_SIZE", "3"}})->has_value());
}

// One process has nobody to meet, but may have been started before.
TEST(ProcessRankTest, AnAttemptIsOneOfAnyNumberOfProcesses) {
  const std::map<std::string, std::string> none;
  EXPECT_EQ(FindLaunch(Of(none))->attempt, 0);
  EXPECT_EQ(FindLaunch(Of(none))->name, "");
  for (const char* world : {"1", "2"}) {
    std::map<std::string, std::string> variables = {{"RANK", "0"}, {"WORLD_SIZE", world}, {"LOCAL_RANK", "0"}};
    EXPECT_EQ(FindLaunch(Of(variables))->attempt, 0);
    variables["TORCHELASTIC_RESTART_COUNT"] = "2";
    EXPECT_EQ(FindLaunch(Of(variables))->attempt, 2);
    EXPECT_EQ(Find(variables)->has_value(), variables["WORLD_SIZE"] == "2");
    variables["TORCHELASTIC_RESTART_COUNT"] = "many";
    EXPECT_FALSE(FindLaunch(Of(variables)).ok());
  }
}

// What a launch is called is no attempt's business, and another launch's name is another.
TEST(ProcessRankTest, ALaunchKeepsItsNameOverAttempts) {
  struct {
    std::map<std::string, std::string> variables;
    std::string attempt, id;
  } const kCases[] = {
      {{{"RANK", "0"}, {"WORLD_SIZE", "1"}, {"LOCAL_RANK", "0"}, {"TORCHELASTIC_RUN_ID", "this"}},
       "TORCHELASTIC_RESTART_COUNT",
       "TORCHELASTIC_RUN_ID"},
      {{{"SLURM_PROCID", "0"},
        {"SLURM_STEP_NUM_TASKS", "1"},
        {"SLURM_LOCALID", "0"},
        {"SLURM_STEP_ID", "0"},
        {"SLURM_STEP_NUM_NODES", "1"},
        {"SLURM_JOB_ID", "7"},
        {"SLURM_CLUSTER_NAME", "test"}},
       "SLURM_RESTART_COUNT",
       "SLURM_JOB_ID"},
      {{{"TRIREME_RANK", "0"},
        {"TRIREME_WORLD_SIZE", "1"},
        {"TRIREME_LOCAL_RANK", "0"},
        {"TRIREME_RENDEZVOUS", "/folder"},
        {"TRIREME_LAUNCH", "this"}},
       "TRIREME_ATTEMPT",
       "TRIREME_LAUNCH"},
  };
  for (const auto& c : kCases) {
    auto variables = c.variables;
    const Launch first = *FindLaunch(Of(variables));
    EXPECT_NE(first.name, "");
    variables[c.attempt] = "3";
    EXPECT_EQ(FindLaunch(Of(variables))->name, first.name);
    EXPECT_EQ(FindLaunch(Of(variables))->attempt, 3);
    variables[c.id] = "8";
    EXPECT_NE(FindLaunch(Of(variables))->name, first.name);
  }
  // torchrun's default, which is no name.
  auto unnamed = kCases[0].variables;
  unnamed["TORCHELASTIC_RUN_ID"] = "none";
  EXPECT_EQ(FindLaunch(Of(unnamed))->name, "torchrun " + DescribeProcess(getppid()));
  unnamed.erase("TORCHELASTIC_RUN_ID");
  EXPECT_EQ(FindLaunch(Of(unnamed))->name, "torchrun " + DescribeProcess(getppid()));
}

TEST(ProcessRankTest, OurOwnVariables) {
  std::map<std::string, std::string> variables = {{"TRIREME_RANK", "2"},
                                                  {"TRIREME_WORLD_SIZE", "4"},
                                                  {"TRIREME_LOCAL_RANK", "0"},
                                                  {"TRIREME_RENDEZVOUS", "/shared/folder"}};
  auto place = **Find(variables);
  EXPECT_EQ(place.rank, 2);
  EXPECT_EQ(place.world_size, 4);
  EXPECT_EQ(place.local_rank, 0);
  EXPECT_EQ(place.rendezvous, "/shared/folder");
  EXPECT_FALSE(place.supervised);
  EXPECT_FALSE(place.over_tcp());
  EXPECT_EQ(place.job, "job");
  variables["TRIREME_JOB"] = "abc";
  EXPECT_EQ((*Find(variables))->job, "abc");
  EXPECT_FALSE((*Find(variables))->supervised);
  variables["TRIREME_SUPERVISED"] = "1";
  EXPECT_TRUE((*Find(variables))->supervised);
  variables["TRIREME_RENDEZVOUS"] = "tcp://node-1:2000";
  EXPECT_TRUE((*Find(variables))->over_tcp());
  EXPECT_EQ((*Find(variables))->num_ports, 1);

  for (const auto& [name, value] : std::map<std::string, std::string>{{"TRIREME_RANK", "4"},
                                                                      {"TRIREME_RANK", "x"},
                                                                      {"TRIREME_RANK", "-1"},
                                                                      {"TRIREME_LOCAL_RANK", "3"},
                                                                      {"TRIREME_LOCAL_WORLD_SIZE", "5"},
                                                                      {"TRIREME_LOCAL_WORLD_SIZE", "0"}}) {
    auto wrong = variables;
    wrong[name] = value;
    EXPECT_EQ(Find(wrong).status().code(), absl::StatusCode::kInvalidArgument) << name << value;
  }
  for (const char* name : {"TRIREME_WORLD_SIZE", "TRIREME_LOCAL_RANK", "TRIREME_RENDEZVOUS"}) {
    auto fewer = variables;
    fewer.erase(name);
    const Status status = Find(fewer).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(std::string(status.message()).find(name), std::string::npos) << status;
  }
}

TEST(ProcessRankTest, WhereToListenIsClearOnOneHostAlone) {
  std::map<std::string, std::string> variables = {{"TRIREME_RANK", "1"},
                                                  {"TRIREME_WORLD_SIZE", "2"},
                                                  {"TRIREME_LOCAL_RANK", "0"},
                                                  {"TRIREME_RENDEZVOUS", "/shared/folder"}};
  EXPECT_EQ((*Find(variables))->listen_on, "127.0.0.1");
  variables["TRIREME_LOCAL_WORLD_SIZE"] = "1";
  EXPECT_EQ((*Find(variables))->listen_on, "");
  variables["TRIREME_LISTEN_ON"] = "10.0.0.7";
  EXPECT_EQ((*Find(variables))->listen_on, "10.0.0.7");
}

TEST(ProcessRankTest, OneProcessAloneHasNobodyToMeet) {
  EXPECT_FALSE(Find({{"RANK", "0"}, {"WORLD_SIZE", "1"}, {"LOCAL_RANK", "0"}})->has_value());
  EXPECT_FALSE(Find({{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "1"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "0"}})
                   ->has_value());
}

TEST(ProcessRankTest, TorchrunOnSeveralHostsMeetsBesideItsOwnStore) {
  std::map<std::string, std::string> variables = {{"RANK", "5"},           {"WORLD_SIZE", "8"},
                                                  {"LOCAL_RANK", "1"},     {"LOCAL_WORLD_SIZE", "4"},
                                                  {"MASTER_PORT", "2900"}, {"MASTER_ADDR", "node-1"}};
  auto place = **Find(variables);
  EXPECT_EQ(place.rank, 5);
  EXPECT_EQ(place.local_rank, 1);
  EXPECT_EQ(place.local_world_size, 4);
  EXPECT_EQ(place.rendezvous, "tcp://node-1:2901");
  EXPECT_EQ(place.num_ports, 8);
  // All ports exist, and none is that of torchrun's store.
  for (int port : {65526, 65527, 65528, 65535}) {
    variables["MASTER_PORT"] = std::to_string(port);
    place = **Find(variables);
    const int first = std::stoi(place.rendezvous.substr(place.rendezvous.rfind(':') + 1));
    EXPECT_LE(first + place.num_ports - 1, 65535);
    EXPECT_TRUE(first > port || first + place.num_ports <= port) << first << " " << port;
  }
  // Another attempt of the same job is another job.
  EXPECT_EQ(place.launch.attempt, 0);
  variables["TORCHELASTIC_RESTART_COUNT"] = "1";
  EXPECT_EQ((*Find(variables))->launch.attempt, 1);
  EXPECT_NE((*Find(variables))->job, place.job);
  variables["TRIREME_RENDEZVOUS"] = "/shared/folder";
  place = **Find(variables);
  EXPECT_EQ(place.rendezvous, "/shared/folder");
  EXPECT_EQ(place.num_ports, 1);
  variables.erase("TRIREME_RENDEZVOUS");
  variables.erase("MASTER_PORT");
  EXPECT_EQ(Find(variables).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ProcessRankTest, TorchrunOnOneHostMeetsInAFolderOfItsAgent) {
  const auto place = **Find({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "1"}, {"LOCAL_WORLD_SIZE", "2"}});
  EXPECT_FALSE(place.over_tcp());
  EXPECT_NE(place.job.find("-" + std::to_string(getppid()) + "-"), std::string::npos) << place.job;
}

// As Open MPI 4.1.4 sets them.
TEST(ProcessRankTest, OpenMpi) {
  std::map<std::string, std::string> variables = {{"OMPI_COMM_WORLD_RANK", "3"},
                                                  {"OMPI_COMM_WORLD_SIZE", "4"},
                                                  {"OMPI_COMM_WORLD_LOCAL_RANK", "3"},
                                                  {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"},
                                                  {"PMIX_NAMESPACE", "prterun-vm@1/2"}};
  auto place = **Find(variables);
  EXPECT_EQ(place.rank, 3);
  EXPECT_EQ(place.world_size, 4);
  EXPECT_EQ(place.job, "trireme.mpirun-prterun-vm_1_2");
  EXPECT_FALSE(place.over_tcp());

  variables["OMPI_COMM_WORLD_LOCAL_RANK"] = "1";
  variables["OMPI_COMM_WORLD_LOCAL_SIZE"] = "2";
  const Status status = Find(variables).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("-x TRIREME_RENDEZVOUS=tcp://HOST:PORT"), std::string::npos) << status;
  variables["TRIREME_RENDEZVOUS"] = "tcp://node-1:2000";
  place = **Find(variables);
  EXPECT_EQ(place.rendezvous, "tcp://node-1:2000");
  EXPECT_EQ(place.local_world_size, 2);
}

// As Slurm 22.05 sets them.
TEST(ProcessRankTest, Slurm) {
  std::map<std::string, std::string> variables = {
      {"SLURM_PROCID", "2"}, {"SLURM_NTASKS", "3"},          {"SLURM_LOCALID", "0"},          {"SLURM_JOB_ID", "77"},
      {"SLURM_NODEID", "1"}, {"SLURM_CLUSTER_NAME", "test"}, {"SLURM_JOB_NODELIST", "n[1-9]"}};
  // In a batch script, outside of any step.
  EXPECT_FALSE(Find(variables)->has_value());
  variables.insert({{"SLURM_STEP_ID", "0"},
                    {"SLURM_STEP_NUM_TASKS", "3"},
                    {"SLURM_STEP_NUM_NODES", "2"},
                    {"SLURM_GTIDS", "2"},
                    {"SLURM_STEP_NODELIST", "n[04-05]"}});
  auto place = **Find(variables);
  EXPECT_EQ(place.rank, 2);
  EXPECT_EQ(place.world_size, 3);
  EXPECT_EQ(place.local_rank, 0);
  EXPECT_EQ(place.local_world_size, 1);
  EXPECT_EQ(place.job, "slurm-test-77.0-0");
  EXPECT_EQ(place.rendezvous, "tcp://n04:29856");
  EXPECT_EQ(place.num_ports, 8);
  variables["SLURM_RESTART_COUNT"] = "1";
  EXPECT_NE((*Find(variables))->job, place.job);

  variables["SLURM_STEP_NUM_NODES"] = "1";
  variables["SLURM_LOCALID"] = "2";
  place = **Find(variables);
  EXPECT_FALSE(place.over_tcp());
  EXPECT_EQ(place.local_world_size, 3);
}

TEST(ProcessRankTest, TheFirstHostOfSlurmsList) {
  EXPECT_EQ(*FirstOfHostlist("vm"), "vm");
  EXPECT_EQ(*FirstOfHostlist("a,b[1-2]"), "a");
  EXPECT_EQ(*FirstOfHostlist("node[08-11,20],login"), "node08");
  EXPECT_EQ(*FirstOfHostlist("node[3]"), "node3");
  EXPECT_EQ(*FirstOfHostlist("n[1,3]-ib,x"), "n1-ib");
  EXPECT_EQ(*FirstOfHostlist("rack[2-3]n[05,7-9],x"), "rack2n05");
  for (const char* wrong : {"", ",", "n[1-2", "["}) {
    EXPECT_EQ(FirstOfHostlist(wrong).status().code(), absl::StatusCode::kInvalidArgument) << wrong;
  }
}

TEST(ProcessRankTest, TheInnermostLauncherCounts) {
  const std::map<std::string, std::string> slurm = {
      {"SLURM_PROCID", "0"},  {"SLURM_STEP_NUM_TASKS", "2"}, {"SLURM_LOCALID", "0"},         {"SLURM_JOB_ID", "1"},
      {"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_NODES", "2"}, {"SLURM_STEP_NODELIST", "a,b"}, {"SLURM_GTIDS", "0"}};
  auto torchrun = slurm;
  torchrun.insert({{"RANK", "3"}, {"WORLD_SIZE", "4"}, {"LOCAL_RANK", "3"}});
  EXPECT_EQ((*Find(torchrun))->rank, 3);
  torchrun.insert({{"TRIREME_RANK", "1"},
                   {"TRIREME_WORLD_SIZE", "2"},
                   {"TRIREME_LOCAL_RANK", "1"},
                   {"TRIREME_RENDEZVOUS", "/folder"}});
  EXPECT_EQ((*Find(torchrun))->rank, 1);
}

TEST(JobSecretTest, ComesFromTheEnvironmentOrAFile) {
  std::map<std::string, std::string> variables;
  const auto find = [&](bool need) {
    const Environment environment = [&](const char* name) {
      const auto found = variables.find(name);
      return found == variables.end() ? nullptr : found->second.c_str();
    };
    return need ? NeedJobSecret(environment) : FindJobSecret(environment);
  };
  EXPECT_EQ(*find(false), "");
  const Status none = find(true).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kFailedPrecondition);
  for (const char* word : {"TRIREME_JOB_SECRET", "TRIREME_JOB_SECRET_FILE", "openssl rand -hex 32"}) {
    EXPECT_NE(none.message().find(word), std::string::npos) << none;
  }
  variables["TRIREME_JOB_SECRET"] = "fifteen letters";
  EXPECT_EQ(find(false).status().code(), absl::StatusCode::kInvalidArgument);
  variables["TRIREME_JOB_SECRET"] = " 0123456789abcdef\n";
  EXPECT_EQ(*find(true), "0123456789abcdef");

  const char* root = getenv("TEST_TMPDIR");
  const std::string path = std::string(root != nullptr ? root : "/tmp") + "/secret";
  std::ofstream(path) << "a secret of the file\n";
  chmod(path.c_str(), 0644);
  variables = {{"TRIREME_JOB_SECRET_FILE", path}};
  EXPECT_EQ(find(true).status().code(), absl::StatusCode::kFailedPrecondition);
  chmod(path.c_str(), 0640);
  EXPECT_EQ(*find(true), "a secret of the file");
  unlink(path.c_str());
  EXPECT_EQ(find(true).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace trireme
