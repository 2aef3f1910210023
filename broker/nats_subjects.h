#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace herald {

// How topics and partitions are called in NATS.
//
//   <prefix>.h.<partition>.<token>   where messages of topics with history are published: the subjects
//                                    of the stream <PREFIX>_<partition>
//   <prefix>.l.<token>               where replicas listen: what the stream republishes, and messages
//                                    without history, which are published here directly
//   <prefix>.d.<partition>           a replica says what it knows to be missing (NatsStream, "Truth")
//   <prefix>.n.<node>                from replica to replica (Cluster)
//
// A token is the topic's name with everything that NATS gives a meaning to, or that is not printable
// ASCII, as %XX (docs.nats.io, "Subject-Based Messaging"). Nothing is lost: FromToken gives it back.
std::string ToToken(std::string_view topic);
// None if `token` was not made by ToToken.
std::optional<std::string> FromToken(std::string_view token);

class NatsSubjects {
 public:
  NatsSubjects(std::string prefix, int partitions)
      : prefix_(std::move(prefix)), partitions_(partitions) {}

  // The same on all replicas, whatever they were built with: FNV-1a of the name.
  int PartitionOf(std::string_view topic) const;
  int partitions() const { return partitions_; }
  const std::string& prefix() const { return prefix_; }

  std::string Stored(int partition, std::string_view topic) const;
  std::string Stored(std::string_view topic) const { return Stored(PartitionOf(topic), topic); }
  // All of a partition, and what its stream republishes them as.
  std::string StoredPattern(int partition) const;
  std::string LivePattern() const;
  std::string Live(std::string_view topic) const;
  // The topic of a live subject; none if it is not one.
  std::optional<std::string> TopicOfLive(std::string_view subject) const;
  std::string Stream(int partition) const;
  std::string Doubt(int partition) const;
  // What NATS itself tells of a stream: that it was made, changed or deleted (docs.nats.io, "JetStream
  // Advisories").
  std::string Advisories(int partition) const;
  // None if `subject` is no such.
  std::optional<int> PartitionOfDoubt(std::string_view subject) const;
  std::optional<int> PartitionOfAdvisory(std::string_view subject) const;

 private:
  const std::string prefix_;
  const int partitions_;
};

}  // namespace herald
