// Certificate files of the client port: good, bad and changed.
#include "ws/tls_context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ws/tls_client.h"

namespace herald {
namespace {

using ::testing::HasSubstr;

constexpr char kEncryptedKey[] =
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAg=\n"
    "-----END ENCRYPTED PRIVATE KEY-----\n";

class TlsContextTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<TlsContext>> Load(const Certificate& files) {
    return TlsContext::Load(directory_.Write("cert.pem", files.cert),
                            directory_.Write("key.pem", files.key));
  }
  // The common name that new connections show.
  static std::string NameOf(const TlsContext& context) {
    const SslPtr ssl = context.NewConnection();
    char name[64] = "";
    X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get_certificate(ssl.get())), NID_commonName,
                              name, sizeof name);
    return name;
  }

  TempDirectory directory_;
  const Certificate one_ = MakeCertificate("one");
  const Certificate two_ = MakeCertificate("two");
};

TEST_F(TlsContextTest, TakesACertificateWithItsChainAndKey) {
  EXPECT_TRUE(Load(one_).ok());
  const auto context = Load({one_.cert + two_.cert, one_.key});
  ASSERT_TRUE(context.ok()) << context.status();
  EXPECT_EQ(NameOf(**context), "one");
  STACK_OF(X509)* chain = nullptr;
  const SslPtr ssl = (*context)->NewConnection();
  SSL_get0_chain_certs(ssl.get(), &chain);
  EXPECT_EQ(sk_X509_num(chain), 1);
}

TEST_F(TlsContextTest, RefusesBadFilesByName) {
  struct Case {
    Certificate files;
    const char* file;
    const char* why;
  };
  std::string broken = two_.cert;
  broken[broken.size() / 2] = '!';
  for (const Case& c : {
           Case{{"", one_.key}, "cert.pem", "no certificate"},
           {{"nonsense", one_.key}, "cert.pem", "no certificate"},
           {{one_.key, one_.key}, "cert.pem", "no certificate"},
           {{one_.cert + broken, one_.key}, "cert.pem", "chain"},
           {{one_.cert, ""}, "key.pem", "no private key"},
           {{one_.cert, one_.cert}, "key.pem", "no private key"},
           {{one_.cert, kEncryptedKey}, "key.pem", "no private key"},
           {{one_.cert, two_.key}, "key.pem", "not the key of"},
       }) {
    const auto context = Load(c.files);
    EXPECT_EQ(context.status().code(), absl::StatusCode::kInvalidArgument) << c.why;
    const std::string message(context.status().message());
    EXPECT_THAT(message, HasSubstr(c.file));
    EXPECT_THAT(message, HasSubstr(c.why));
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
  const auto missing = TlsContext::Load(directory_.Path("none.pem"), directory_.Path("key.pem"));
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("none.pem"));
}

TEST_F(TlsContextTest, TakesChangedFilesForNewConnections) {
  const auto context = Load(one_);
  ASSERT_TRUE(context.ok());
  const SslPtr before = (*context)->NewConnection();
  EXPECT_FALSE(*(*context)->ReloadIfChanged());
  directory_.Write("cert.pem", two_.cert);
  directory_.Write("key.pem", two_.key);
  const auto reloaded = (*context)->ReloadIfChanged();
  ASSERT_TRUE(reloaded.ok()) << reloaded.status();
  EXPECT_TRUE(*reloaded);
  EXPECT_EQ(NameOf(**context), "two");
  EXPECT_FALSE(*(*context)->ReloadIfChanged());
}

TEST_F(TlsContextTest, KeepsTheOldOneWhileTheFilesAreBadAndSaysSoOnce) {
  const auto context = Load(one_);
  ASSERT_TRUE(context.ok());
  // Between the two writes of a rotation the files do not go together.
  directory_.Write("cert.pem", two_.cert);
  EXPECT_THAT(std::string((*context)->ReloadIfChanged().status().message()),
              HasSubstr("not the key of"));
  EXPECT_FALSE((*context)->ReloadIfChanged().value_or(true));
  EXPECT_EQ(NameOf(**context), "one");
  directory_.Write("cert.pem", "nonsense");
  EXPECT_THAT(std::string((*context)->ReloadIfChanged().status().message()),
              HasSubstr("no certificate"));
  EXPECT_EQ(NameOf(**context), "one");
  directory_.Write("cert.pem", two_.cert);
  directory_.Write("key.pem", two_.key);
  EXPECT_TRUE((*context)->ReloadIfChanged().value_or(false));
  EXPECT_EQ(NameOf(**context), "two");
}

}  // namespace
}  // namespace herald
