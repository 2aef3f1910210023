#pragma once

namespace herald {

// One outstanding operation of gRPC: the tag by which a completion queue gives it back. Its owner
// keeps it until then.
class Completion {
 public:
  // On the thread of the call. `ok` as grpc::CompletionQueue::Next describes it.
  virtual void Complete(bool ok) = 0;
  void* tag() { return this; }

 protected:
  ~Completion() = default;
};

// A completion that calls a member of its owner.
template <typename Owner>
class CompletionOf final : public Completion {
 public:
  CompletionOf(Owner& owner, void (Owner::*complete)(bool)) : owner_(owner), complete_(complete) {}
  void Complete(bool ok) override { (owner_.*complete_)(ok); }

 private:
  Owner& owner_;
  void (Owner::* const complete_)(bool);
};

}  // namespace herald
