#include "ws/auth/key_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/ws/test_keys.h"
#include "ws/auth/pem.h"

namespace herald {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kSecret(32, 's');
const std::string kOtherSecret(32, 'o');

std::string Message(const absl::Status& status) { return std::string(status.message()); }

std::string Jwks(std::initializer_list<std::string> keys) {
  std::string text;
  for (const std::string& key : keys) text += (text.empty() ? "{" : ",{") + key + "}";
  return R"({"keys":[)" + text + "]}";
}

class KeyStoreTest : public ::testing::Test {
 protected:
  // Reads one file of this kind; its keys, or the error.
  absl::StatusOr<std::vector<Key>> Read(const std::string& kind, const std::string& text,
                                        std::vector<Algorithm> allowed = {}) {
    const auto source = ParseKeySource(kind + ":" + directory_.Write("key", text));
    EXPECT_TRUE(source.ok()) << source.status();
    auto store = KeyStore::Load({*source}, std::move(allowed));
    if (!store.ok()) {
      // Whatever is wrong, the operator must learn in which file.
      EXPECT_THAT(Message(store.status()), HasSubstr(directory_.Path("key")));
      return store.status();
    }
    return (*store)->Keys()->keys;
  }

  std::string Error(const std::string& kind, const std::string& text) {
    const auto keys = Read(kind, text);
    EXPECT_FALSE(keys.ok()) << kind << ": " << text;
    return Message(keys.status());
  }

  std::unique_ptr<KeyStore> MustLoad(const std::vector<KeySource>& sources) {
    auto store = KeyStore::Load(sources);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }

  KeySource Secret(const std::string& name, const std::string& text) {
    return {KeySource::Kind::kSecret, Algorithm::kHs256, directory_.Write(name, text)};
  }

  TempDirectory directory_;
};

TEST(ParseKeySourceTest, ReadsKindAndPath) {
  const auto secret = ParseKeySource("HS256:/run/a:b");
  ASSERT_TRUE(secret.ok());
  EXPECT_EQ(secret->kind, KeySource::Kind::kSecret);
  EXPECT_EQ(secret->path, "/run/a:b");
  const auto pem = ParseKeySource("EdDSA:key.pem");
  ASSERT_TRUE(pem.ok());
  EXPECT_EQ(pem->kind, KeySource::Kind::kPem);
  EXPECT_EQ(pem->algorithm, Algorithm::kEdDsa);
  const auto jwks = ParseKeySource("jwks:k.json");
  ASSERT_TRUE(jwks.ok());
  EXPECT_EQ(jwks->kind, KeySource::Kind::kJwks);
}

TEST(ParseKeySourceTest, RefusesOthers) {
  for (const char* text : {"", "/etc/key", "HS256", "HS256:", "none:/k", "hs256:/k", "JWKS:/k"}) {
    EXPECT_FALSE(ParseKeySource(text).ok()) << text;
  }
}

TEST_F(KeyStoreTest, SecretIsAllButOneLineEnd) {
  EXPECT_EQ(Read("HS256", kSecret)->at(0).secret, kSecret);
  EXPECT_EQ(Read("HS256", kSecret + "\n")->at(0).secret, kSecret);
  EXPECT_EQ(Read("HS256", kSecret + "\r\n")->at(0).secret, kSecret);
  EXPECT_EQ(Read("HS256", kSecret + "\n\n")->at(0).secret, kSecret + "\n");
  EXPECT_EQ(Read("HS256", kSecret + "\r")->at(0).secret, kSecret + "\r");
  const std::string with_nul = std::string("\0", 1) + kSecret;
  EXPECT_EQ(Read("HS256", with_nul)->at(0).secret, with_nul);
}

TEST_F(KeyStoreTest, RefusesShortSecrets) {
  EXPECT_THAT(Error("HS256", std::string(31, 's')), HasSubstr("31 bytes, HS256 needs 32 or more"));
  EXPECT_THAT(Error("HS256", std::string(31, 's') + "\n"), HasSubstr("31 bytes"));
  EXPECT_THAT(Error("HS256", ""), HasSubstr("0 bytes"));
  EXPECT_THAT(Error("jwks", Jwks({SecretJwk(std::string(31, 's'))})),
              HasSubstr("key 1: the secret has 31 bytes"));
}

TEST_F(KeyStoreTest, RefusesPemAsSecret) {
  EXPECT_THAT(Error("HS256", PublicPem(NewEd25519())), HasSubstr("PEM text cannot be a secret"));
}

TEST_F(KeyStoreTest, ReadsPemOfEachKind) {
  EXPECT_EQ(Read("RS256", PublicPem(NewRsa()))->at(0).algorithm, Algorithm::kRs256);
  EXPECT_EQ(Read("ES256", PublicPem(NewEc()))->at(0).algorithm, Algorithm::kEs256);
  EXPECT_EQ(Read("EdDSA", PublicPem(NewEd25519()))->at(0).algorithm, Algorithm::kEdDsa);
}

TEST_F(KeyStoreTest, ReadsSeveralPublicKeysOfOneFile) {
  const auto keys = Read("ES256", "# old\n" + PublicPem(NewEc()) + "# new\n" + PublicPem(NewEc()));
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_EQ(keys->size(), 2u);
}

TEST_F(KeyStoreTest, RefusesPemOfAnotherAlgorithmThanPinned) {
  EXPECT_THAT(Error("RS256", PublicPem(NewEc())),
              HasSubstr("holds a key for ES256, but RS256 is configured"));
}

TEST_F(KeyStoreTest, RefusesWeakAndForeignPemKeys) {
  EXPECT_THAT(Error("RS256", PublicPem(NewRsa(1024))), HasSubstr("1024 bits"));
  EXPECT_THAT(Error("ES256", PublicPem(NewEc("P-384"))), HasSubstr("secp384r1"));
  EXPECT_THAT(Error("ES256", PublicPem(NewEc("secp256k1"))), HasSubstr("secp256k1"));
  EXPECT_THAT(Error("EdDSA", PublicPem(Own(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED448")))),
              HasSubstr("ED448"));
  EXPECT_THAT(Error("EdDSA", PublicPem(Own(EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519")))),
              HasSubstr("X25519"));
}

TEST_F(KeyStoreTest, RefusesWhatIsNotAPublicKey) {
  EXPECT_THAT(Error("EdDSA", PrivatePem(NewEd25519())),
              HasSubstr("PEM block 1 is a 'PRIVATE KEY', expected a 'PUBLIC KEY'"));
  EXPECT_THAT(Error("EdDSA", ""), HasSubstr("no PEM block"));
  EXPECT_THAT(Error("EdDSA", "hello"), HasSubstr("no PEM block"));
  EXPECT_THAT(Error("EdDSA", "-----BEGIN PUBLIC KEY-----"), HasSubstr("block 1 cannot be read"));
  std::string cut = PublicPem(NewEd25519());
  cut.resize(cut.size() / 2);
  EXPECT_THAT(Error("EdDSA", PublicPem(NewEd25519()) + cut), HasSubstr("block 2 cannot be read"));
}

TEST_F(KeyStoreTest, ReadsEveryKindFromAKeySet) {
  const auto keys = Read("jwks", Jwks({RsaJwk(NewRsa()) + R"(,"kid":"r","use":"sig")",
                                       EcJwk(NewEc()) + R"(,"kid":"e","alg":"ES256")",
                                       Ed25519Jwk(NewEd25519()) + R"(,"key_ops":["verify"])",
                                       SecretJwk(kSecret) + R"(,"kid":"s")"}));
  ASSERT_TRUE(keys.ok()) << keys.status();
  ASSERT_EQ(keys->size(), 4u);
  EXPECT_EQ(keys->at(0).algorithm, Algorithm::kRs256);
  EXPECT_EQ(keys->at(0).id, "r");
  EXPECT_EQ(keys->at(1).algorithm, Algorithm::kEs256);
  EXPECT_EQ(keys->at(2).algorithm, Algorithm::kEdDsa);
  EXPECT_EQ(keys->at(2).id, "");
  EXPECT_EQ(keys->at(3).algorithm, Algorithm::kHs256);
  EXPECT_EQ(keys->at(3).secret, kSecret);
}

TEST_F(KeyStoreTest, SkipsKeysOfASetThatAreNotForItsUse) {
  const std::string rsa = RsaJwk(NewRsa());
  const auto keys =
      Read("jwks",
           Jwks({rsa + R"(,"use":"enc")", rsa + R"(,"alg":"RS512")", rsa + R"(,"alg":"RSA-OAEP")",
                 rsa + R"(,"alg":"none")", rsa + R"(,"key_ops":["encrypt"])",
                 R"("kty":"EC","crv":"P-521")", R"("kty":"OKP","crv":"X25519")", R"("kty":"new")",
                 R"("kid":"no kty")", SecretJwk(kSecret)}));
  ASSERT_TRUE(keys.ok()) << keys.status();
  ASSERT_EQ(keys->size(), 1u);
  EXPECT_EQ(keys->at(0).algorithm, Algorithm::kHs256);
}

TEST_F(KeyStoreTest, SkipsKeysOfASetThatAreNotAllowed) {
  const std::string set = Jwks({SecretJwk(kSecret), EcJwk(NewEc())});
  const auto keys = Read("jwks", set, {Algorithm::kEs256});
  ASSERT_TRUE(keys.ok()) << keys.status();
  ASSERT_EQ(keys->size(), 1u);
  EXPECT_EQ(keys->at(0).algorithm, Algorithm::kEs256);
  EXPECT_THAT(Message(Read("jwks", set, {Algorithm::kRs256}).status()),
              HasSubstr("none of the 2 keys can be used"));
  EXPECT_THAT(Message(Read("HS256", kSecret, {Algorithm::kRs256}).status()),
              HasSubstr("HS256 is not among the allowed"));
}

TEST_F(KeyStoreTest, RefusesBrokenKeySets) {
  const std::string rsa = RsaJwk(NewRsa()), ec = EcJwk(NewEc());
  EXPECT_THAT(Error("jwks", ""), HasSubstr("not JSON"));
  EXPECT_THAT(Error("jwks", "{"), HasSubstr("not JSON"));
  EXPECT_THAT(Error("jwks", R"({"keys":[]} x)"), HasSubstr("not JSON"));
  EXPECT_THAT(Error("jwks", std::string(100, '[')), HasSubstr("not JSON"));
  EXPECT_THAT(Error("jwks", "[]"), HasSubstr("no array 'keys'"));
  EXPECT_THAT(Error("jwks", "{" + ec + "}"), HasSubstr("no array 'keys'"));
  EXPECT_THAT(Error("jwks", R"({"keys":[]})"), HasSubstr("none of the 0 keys"));
  EXPECT_THAT(Error("jwks", R"({"keys":[1]})"), HasSubstr("key 1: is not an object"));
  EXPECT_THAT(Error("jwks", Jwks({rsa + R"(,"alg":"HS256")"})),
              HasSubstr("key 1: alg HS256 does not fit a key of kty RSA"));
  EXPECT_THAT(Error("jwks", Jwks({SecretJwk(kSecret) + R"(,"alg":"RS256")"})),
              HasSubstr("does not fit"));
  EXPECT_THAT(Error("jwks", Jwks({ec + R"(,"kid":7)"})), HasSubstr("'kid' is not a string"));
  EXPECT_THAT(Error("jwks", Jwks({R"("kty":"RSA","n":"AQAB")"})), HasSubstr("'e' is missing"));
  EXPECT_THAT(Error("jwks", Jwks({R"("kty":"oct","k":"not base64url!")"})), HasSubstr("'k'"));
  EXPECT_THAT(Error("jwks", Jwks({RsaJwk(NewRsa(1024))})), HasSubstr("1024 bits"));
  EXPECT_THAT(Error("jwks", Jwks({R"("kty":"OKP","crv":"Ed25519","x":"AAAA")"})),
              HasSubstr("'x' must have 32 bytes"));
}

TEST_F(KeyStoreTest, RefusesARsaExponentOfOneOrEven) {
  const std::string n = Number(NewRsa(), OSSL_PKEY_PARAM_RSA_N);
  for (const char* e : {"AQ" /* 1 */, "Ag" /* 2 */}) {
    EXPECT_THAT(Error("jwks", Jwks({R"("kty":"RSA","n":")" + n + R"(","e":")" + e + '"'})),
                HasSubstr("exponent"));
  }
}

TEST_F(KeyStoreTest, RefusesAPointThatIsNotOnTheCurve) {
  const std::string x = EncodeBase64Url(std::string(32, '\x01'));
  EXPECT_THAT(
      Error("jwks", Jwks({R"("kty":"EC","crv":"P-256","x":")" + x + R"(","y":")" + x + '"'})),
      HasSubstr("do not make a key"));
}

TEST_F(KeyStoreTest, C1SkipsABrokenKeyBesideAGoodOne) {
  const std::string weak = R"("kty":"RSA","n":"AQAB","e":"AQAB")";
  const KeySource source{
      KeySource::Kind::kJwks, {}, directory_.Write("set", Jwks({weak, EcJwk(NewEc())}))};
  const auto store = MustLoad({source});
  ASSERT_EQ(store->Keys()->keys.size(), 1u);
  EXPECT_EQ(store->Keys()->keys[0].algorithm, Algorithm::kEs256);
  const auto notes = store->TakeNotes();
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_THAT(notes[0], AllOf(HasSubstr(directory_.Path("set")),
                              HasSubstr("key 1: the RSA key has"), HasSubstr("skipped")));
  EXPECT_TRUE(store->TakeNotes().empty());
}

TEST_F(KeyStoreTest, C2AByteOrderMark) {
  const std::string mark(kByteOrderMark);
  EXPECT_EQ(Read("jwks", mark + Jwks({SecretJwk(kSecret)}))->size(), 1u);
  EXPECT_EQ(Read("ES256", mark + PublicPem(NewEc()))->size(), 1u);
  const auto store = MustLoad({Secret("marked", mark + kSecret), Secret("plain", kSecret)});
  EXPECT_EQ(store->Keys()->keys[0].secret, mark + kSecret);
  const auto notes = store->TakeNotes();
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_THAT(notes[0], AllOf(HasSubstr("marked"), HasSubstr("byte-order mark")));
}

TEST_F(KeyStoreTest, FingerprintsTellKeysApart) {
  const EvpKey ec = NewEc();
  const auto keys =
      Read("jwks", Jwks({EcJwk(ec) + R"(,"kid":"a")", EcJwk(NewEc()) + R"(,"kid":"b")"}));
  const auto renamed = Read("ES256", PublicPem(ec));
  ASSERT_TRUE(keys.ok() && renamed.ok());
  EXPECT_NE(keys->at(0).fingerprint, keys->at(1).fingerprint);
  EXPECT_EQ(keys->at(0).fingerprint, renamed->at(0).fingerprint) << "the id does not count";
  EXPECT_NE(MakeSecretKey(kSecret)->fingerprint, MakeSecretKey(kOtherSecret)->fingerprint);
}

TEST_F(KeyStoreTest, TakesFetchedKeys) {
  const auto store = MustLoad({{KeySource::Kind::kJwksUrl, {}, "https://id.example/keys"}});
  EXPECT_TRUE(store->Keys()->keys.empty());
  ASSERT_TRUE(store->SetFetched(Jwks({SecretJwk(kSecret)})).ok());
  EXPECT_EQ(store->Keys()->keys.size(), 1u);
  EXPECT_THAT(Message(store->SetFetched("<html>")), HasSubstr("https://id.example/keys: not JSON"));
  EXPECT_TRUE(store->ReloadIfChanged(absl::FromUnixSeconds(1000)).ok());
  EXPECT_TRUE(store->Reload().ok());
  EXPECT_EQ(store->Keys()->keys[0].secret, kSecret) << "the old ones stay";
  EXPECT_FALSE(MustLoad({Secret("key", kSecret)})->SetFetched("{}").ok());
}

TEST_F(KeyStoreTest, LimitsTheNumberOfKeys) {
  std::string set = R"({"keys":[{)" + SecretJwk(kSecret) + R"(,"kid":"0"})";
  for (std::size_t i = 1; i < kMaxKeys; ++i)
    set += ",{" + SecretJwk(kSecret) + R"(,"kid":")" + std::to_string(i) + "\"}";
  EXPECT_TRUE(Read("jwks", set + "]}").ok());
  EXPECT_THAT(Error("jwks", set + ",{" + SecretJwk(kSecret) + "}]}"), HasSubstr("more than 64"));
  const KeySource full{KeySource::Kind::kJwks, {}, directory_.Write("full", set + "]}")};
  EXPECT_THAT(Message(KeyStore::Load({full, Secret("one", kSecret)}).status()),
              HasSubstr("hold 65 keys"));
}

TEST_F(KeyStoreTest, RefusesWhatIsNotAReadableRegularFile) {
  const auto load = [](const std::string& path) {
    return KeyStore::Load({{KeySource::Kind::kSecret, Algorithm::kHs256, path}}).status();
  };
  EXPECT_EQ(load(directory_.Path("absent")).code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(load(directory_.Path("absent"))), HasSubstr("absent: No such file"));
  EXPECT_THAT(Message(load(directory_.Path(""))), HasSubstr("not a regular file"));
  ASSERT_EQ(::mkfifo(directory_.Path("fifo").c_str(), 0600), 0);
  EXPECT_THAT(Message(load(directory_.Path("fifo"))), HasSubstr("not a regular file"));
  directory_.Write("big", std::string(kMaxKeyFileBytes + 1, 's'));
  EXPECT_THAT(Message(load(directory_.Path("big"))), HasSubstr("more than 1048576 bytes"));
  EXPECT_EQ(KeyStore::Load({}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(KeyStoreTest, TakesNewKeysAtMostOnceASecond) {
  const absl::Time start = absl::FromUnixSeconds(1000);
  const auto store = MustLoad({Secret("key", kSecret)});
  EXPECT_TRUE(store->ReloadIfChanged(start).ok());
  Secret("key", kOtherSecret);
  EXPECT_TRUE(store->ReloadIfChanged(start + absl::Milliseconds(999)).ok());
  EXPECT_EQ(store->Keys()->keys[0].secret, kSecret);
  EXPECT_TRUE(store->ReloadIfChanged(start + absl::Seconds(1)).ok());
  EXPECT_EQ(store->Keys()->keys[0].secret, kOtherSecret);
}

TEST_F(KeyStoreTest, ChecksAgainWhenTheClockWasSetBack) {
  const auto store = MustLoad({Secret("key", kSecret)});
  ASSERT_TRUE(store->ReloadIfChanged(absl::FromUnixSeconds(1'000'000)).ok());
  Secret("key", kOtherSecret);
  ASSERT_TRUE(store->ReloadIfChanged(absl::FromUnixSeconds(10)).ok());
  EXPECT_EQ(store->Keys()->keys[0].secret, kOtherSecret);
}

TEST_F(KeyStoreTest, SnapshotIsNotTouchedByAReload) {
  const auto store = MustLoad({Secret("key", kSecret)});
  const auto before = store->Keys();
  EXPECT_TRUE(store->ReloadIfChanged(absl::FromUnixSeconds(1)).ok());
  EXPECT_EQ(store->Keys(), before) << "read again although nothing changed";
  Secret("key", kOtherSecret);
  ASSERT_TRUE(store->Reload().ok());
  EXPECT_NE(store->Keys(), before);
  EXPECT_EQ(before->keys[0].secret, kSecret);
}

TEST_F(KeyStoreTest, KeepsOldKeysAndReportsABadFileOnce) {
  absl::Time now = absl::FromUnixSeconds(1000);
  const auto step = [&now] { return now += absl::Seconds(1); };
  const auto store = MustLoad({Secret("a", kSecret), Secret("b", kSecret)});

  Secret("a", "short");
  const absl::Status bad = store->ReloadIfChanged(step());
  EXPECT_THAT(Message(bad), AllOf(HasSubstr(directory_.Path("a")), HasSubstr("5 bytes"),
                                  Not(HasSubstr(directory_.Path("b")))));
  EXPECT_TRUE(store->ReloadIfChanged(step()).ok()) << "reported twice";
  EXPECT_EQ(store->Keys()->keys[0].secret, kSecret);

  Secret("b", kOtherSecret);  // the other file's change counts all the same
  EXPECT_TRUE(store->ReloadIfChanged(step()).ok());
  EXPECT_EQ(store->Keys()->keys[0].secret, kSecret);
  EXPECT_EQ(store->Keys()->keys[1].secret, kOtherSecret);

  Secret("a", "worse");  // another version, another report
  EXPECT_FALSE(store->ReloadIfChanged(step()).ok());
  EXPECT_TRUE(store->ReloadIfChanged(step()).ok());
  EXPECT_FALSE(store->Reload().ok()) << "an explicit reload always tells";

  Secret("a", kOtherSecret);
  EXPECT_TRUE(store->ReloadIfChanged(step()).ok());
  EXPECT_EQ(store->Keys()->keys[0].secret, kOtherSecret);
}

TEST_F(KeyStoreTest, KeepsOldKeysWhileTheFileIsAway) {
  absl::Time now = absl::FromUnixSeconds(1000);
  const auto store = MustLoad({Secret("a", kSecret)});
  std::filesystem::remove(directory_.Path("a"));
  EXPECT_EQ(store->ReloadIfChanged(now += absl::Seconds(1)).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(store->ReloadIfChanged(now += absl::Seconds(1)).ok());
  EXPECT_EQ(store->Keys()->keys[0].secret, kSecret);
  Secret("a", kOtherSecret);
  EXPECT_TRUE(store->ReloadIfChanged(now += absl::Seconds(1)).ok());
  EXPECT_EQ(store->Keys()->keys[0].secret, kOtherSecret);
}

// Kubernetes mounts a secret as ..data/key and swaps the link ..data.
TEST_F(KeyStoreTest, NoticesASwappedDirectoryLink) {
  const auto path = [this](const char* name) {
    return std::filesystem::path(directory_.Path(name));
  };
  for (const char* version : {"v1", "v2"}) {
    std::filesystem::create_directory(path(version));
    std::ofstream(path(version) / "key") << (version == std::string("v1") ? kSecret : kOtherSecret);
    // Same size and time: only the inode differs.
    std::filesystem::last_write_time(path(version) / "key", {});
  }
  std::filesystem::create_directory_symlink("v1", path("data"));
  const auto store =
      MustLoad({{KeySource::Kind::kSecret, Algorithm::kHs256, (path("data") / "key").string()}});
  std::filesystem::create_directory_symlink("v2", path("next"));
  std::filesystem::rename(path("next"), path("data"));
  ASSERT_TRUE(store->ReloadIfChanged(absl::FromUnixSeconds(1000)).ok());
  EXPECT_EQ(store->Keys()->keys[0].secret, kOtherSecret);
}

TEST_F(KeyStoreTest, ReadersAndReloadsMayRunAtOnce) {
  const auto store = MustLoad({Secret("key", kSecret)});
  std::vector<std::jthread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&store] {
      for (int i = 0; i < 2000; ++i) {
        const auto snapshot = store->Keys();
        const std::string& secret = snapshot->keys.at(0).secret;
        ASSERT_TRUE(secret == kSecret || secret == kOtherSecret);
      }
    });
    threads.emplace_back([&store] {
      for (int i = 0; i < 100; ++i) {
        ASSERT_TRUE(store->Reload().ok());
        ASSERT_TRUE(store->ReloadIfChanged(absl::FromUnixSeconds(2 * i)).ok());
      }
    });
  }
  for (int i = 0; i < 100; ++i) Secret("key", i % 2 == 0 ? kOtherSecret : kSecret);
}

TEST(PrivatePemTest, ReadsOneUnencryptedKey) {
  EXPECT_EQ(ParsePrivateKeyPem(PrivatePem(NewEc()))->algorithm, Algorithm::kEs256);
  const auto error = [](const std::string& text) {
    return Message(ParsePrivateKeyPem(text).status());
  };
  EXPECT_THAT(error(PrivatePem(NewEc(), "pass")), HasSubstr("encrypted"));
  EXPECT_THAT(error(PublicPem(NewEc())), HasSubstr("'PUBLIC KEY', expected a 'PRIVATE KEY'"));
  EXPECT_THAT(error(PrivatePem(NewEc()) + PrivatePem(NewEc())), HasSubstr("2 PEM blocks"));
  EXPECT_THAT(error(""), HasSubstr("0 PEM blocks"));
}

}  // namespace
}  // namespace herald
