// Memory of rings: sealed, cut, locked, handed over.
#include "region.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <thread>

#include "check.h"
#include "handover.h"
#include "ring_fixture.h"

using namespace qkme;
using namespace qkme::test;

namespace {
struct Folder {
  Folder() { char form[] = "/tmp/qkme-region-XXXXXX"; path = mkdtemp(form); }
  ~Folder() { (void)!system(("rm -rf " + path).c_str()); }
  std::string File(const char* name) const { return path + "/" + name; }
  std::string path;
};
const RingGeometry kSmall{.nslots = 16, .stride = 4096, .link = kLink};

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

/// Listens where a KME would, with the shortest queue, and accepts nobody by itself.
struct Listener {
  explicit Listener(const std::string& path) : address(AddressOf(path)), fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || listen(fd.get(), 0) != 0) abort();
  }
  /// None when the queue is full.
  OwnedFd Connect() const {
    OwnedFd made(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    return connect(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? std::move(made) : OwnedFd();
  }
  sockaddr_un address;
  OwnedFd fd;
};

/// A handover with a descriptor more than there is.
void SendFour(int connection) {
  struct { char magic[8]; uint32_t link, status; } message = {{'Q', 'K', 'D', 'P', 'A', 'S', 'S', '1'}, kLink, 0};
  const int fds[4] = {0, 0, 0, 0};
  iovec part = {&message, sizeof message};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fds)] = {};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  cmsghdr* rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof fds);
  memcpy(CMSG_DATA(rights), fds, sizeof fds);
  if (sendmsg(connection, &header, MSG_NOSIGNAL) < 0) abort();
}

size_t OpenDescriptors() {
  size_t count = 0;
  for (int fd = 0; fd < 1'024; ++fd) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}
}  // namespace

TEST("memory is sealed: nobody can make it shorter or longer, or take the seals away") {
  const auto region = Region::CreateMemfd(kSmall);
  CHECK(region->sealed() && region->view().geometry.nslots == 16);
  CHECK(ftruncate(region->fd(), 0) == -1 && ftruncate(region->fd(), 1 << 20) == -1);
  CHECK(fcntl(region->fd(), F_ADD_SEALS, F_SEAL_WRITE) == -1);
}

TEST("a file that is cut under a running ring: no SIGBUS, the ring is found lost") {
  Folder folder;
  const std::string path = folder.File("ring");
  const auto region = Region::OpenOrCreateFile(path, kSmall);
  RingProducer producer(region->view(), 0, 1);
  Side side(region->view());
  for (uint32_t i = 0; i < 10; ++i) CHECK(Put(producer, i, 0, i));
  CHECK(!region->Lost());
  CHECK(truncate(path.c_str(), 4096 + 3 * 4096) == 0);
  CHECK(region->Lost());
  CHECK(side.Drain().records == 0);  // runs into the hole when it looks how full the ring is, and finds zeros
  CHECK(truncate(path.c_str(), 0) == 0);
  CHECK(side.Drain().records == 0 && region->Lost());
  CHECK(!Put(producer, 11, 0, 11));  // in the other process the same: the turns do not fit
}

TEST("a file is made once, kept, and has one reader") {
  Folder folder;
  const std::string path = folder.File("ring");
  {
    const auto region = Region::OpenOrCreateFile(path, kSmall);
    RingProducer producer(region->view(), 0, 1);
    CHECK(Put(producer, 1, 0, 1));
    struct stat info;
    CHECK(stat(path.c_str(), &info) == 0 && (info.st_mode & 0777) == 0600);
    THROWS(Region::OpenOrCreateFile(path, kSmall), "another process reads this ring");
  }
  const auto again = Region::OpenOrCreateFile(path, {.nslots = 64, .stride = 4096, .link = kLink});
  CHECK(again->view().geometry.nslots == 16);  // what is there counts
  Side side(again->view(), *ScanReadPlace(again->view()));
  CHECK(side.Drain().records == 1);
}

TEST("files that are no rings, or another link's, are refused with a reason") {
  Folder folder;
  const std::string path = folder.File("ring");
  Region::OpenOrCreateFile(path, kSmall);
  THROWS(Region::OpenOrCreateFile(path, {.nslots = 16, .stride = 4096, .link = 8}), "is the ring of link 7, not of link 8");
  CHECK(truncate(path.c_str(), 8192) == 0);
  THROWS(Region::AttachPath(path), "region is shorter");
  CHECK(truncate(path.c_str(), 100) == 0);
  THROWS(Region::AttachPath(path), "which no ring has");
  THROWS(Region::AttachPath(folder.path), "cannot open");
  THROWS(Region::AttachPath(folder.File("none")), "No such file");
  CHECK(symlink(path.c_str(), folder.File("link").c_str()) == 0);
  THROWS(Region::AttachPath(folder.File("link")), "cannot open");
  THROWS(Region::AttachPath("/dev/null"), "is not a file");
  THROWS(Region::OpenOrCreateFile(folder.File("odd"), {.nslots = 17, .stride = 4096, .link = 1}), "power of two");
}

TEST("handover: one device gets region and bells, a second is refused, an end is seen by both") {
  Folder folder;
  const std::string path = folder.File("socket");
  const auto region = Region::CreateMemfd(kSmall);
  const OwnedFd frames = MakeEventFd(), space = MakeEventFd();
  auto server = std::make_unique<HandoverServer>(path, kLink, OwnedFd(region->ShareFd()), frames.get(), space.get());
  struct stat info;
  CHECK(lstat(path.c_str(), &info) == 0 && (info.st_mode & 0777) == 0600);
  {
    Handover got = ReceiveHandover(path, 5'000);
    CHECK(got.link == kLink && server->connected() && server->peer_pid() == uint32_t(getpid()));
    const auto device = Region::AttachFd(got.region.Take(), "handed over");
    CHECK(device->sealed());
    RingProducer producer(device->view(), 0, 1);
    CHECK(Put(producer, 1, 0, 1));
    Side side(region->view());
    CHECK(side.Drain().records == 1);
    THROWS(ReceiveHandover(path, 5'000), "another device is connected");
    for (int i = 0; i < 2'000 && server->refused() == 0; ++i) usleep(1'000);  // It counts after it has answered.
    CHECK(server->refused() == 1 && !HungUp(got.connection.get()));
  }
  for (int i = 0; i < 2'000 && server->connected(); ++i) usleep(1'000);
  CHECK(!server->connected() && server->peer_pid() == 0);
  Handover next = ReceiveHandover(path, 5'000);
  server.reset();
  CHECK(HungUp(next.connection.get()));
  THROWS(ReceiveHandover(path, 5'000), "nobody serves a ring here");
}

TEST("the lock of a ring file ends with its reader, though a device still holds what it was given") {
  Folder folder;
  const std::string path = folder.File("ring");
  const OwnedFd bell = MakeEventFd();
  auto region = Region::OpenOrCreateFile(path, kSmall);
  auto server = std::make_unique<HandoverServer>(path + ".bell", kLink, OwnedFd(region->ShareFd()), bell.get(), bell.get());
  const Handover device = ReceiveHandover(path + ".bell", 5'000);
  server.reset();
  region.reset();
  CHECK(Region::OpenOrCreateFile(path, kSmall) != nullptr);
}

TEST("a socket left over is replaced, one in use is not, and foreign files are left alone") {
  Folder folder;
  const std::string path = folder.File("socket");
  const auto region = Region::CreateMemfd(kSmall);
  const OwnedFd bell = MakeEventFd();
  const auto serve = [&](const std::string& at) { return std::make_unique<HandoverServer>(at, kLink, OwnedFd(region->ShareFd()), bell.get(), bell.get()); };
  const auto first = serve(path);
  THROWS(serve(path), "another process serves this ring");
  CHECK(rename(path.c_str(), folder.File("stale").c_str()) == 0);  // its server will not find it to remove
  CHECK(link(folder.File("stale").c_str(), path.c_str()) == 0);
  CHECK(close(open(folder.File("file").c_str(), O_CREAT | O_WRONLY, 0600)) == 0);
  THROWS(serve(folder.File("file")), "not a socket");
  THROWS(serve(std::string(200, 'x')), "1 to 107 bytes");
}

TEST("a KME that was stopped with a full queue counts as alive, and keeps nobody waiting") {
  Folder folder;
  const std::string path = folder.File("socket");
  const Listener stopped(path);
  std::vector<OwnedFd> waiting;
  do waiting.push_back(stopped.Connect()); while (waiting.back());
  const auto region = Region::CreateMemfd(kSmall);
  const OwnedFd bell = MakeEventFd();
  THROWS(HandoverServer(path, kLink, OwnedFd(region->ShareFd()), bell.get(), bell.get()), "another process serves this ring");
  THROWS(ReceiveHandover(path, 100), "nobody serves a ring here");
}

TEST("descriptors that come beside the three are closed") {
  Folder folder;
  const Listener impostor(folder.File("socket"));
  const size_t before = OpenDescriptors();
  std::thread answers([&] {
    const OwnedFd device(accept4(impostor.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
    SendFour(device.get());
  });
  std::string said;
  try { (void)ReceiveHandover(folder.File("socket"), 5'000); } catch (const RingError& e) { said = e.what(); }
  answers.join();
  CHECK(said.find("does not serve rings") != std::string::npos && OpenDescriptors() == before);
}

TEST("without a descriptor left, a device waits in the queue and no processor is kept busy; then it is served") {
  Folder folder;
  const auto region = Region::CreateMemfd(kSmall);
  const OwnedFd bell = MakeEventFd();
  HandoverServer server(folder.File("socket"), kLink, OwnedFd(region->ShareFd()), bell.get(), bell.get());
  const OwnedFd device(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  rlimit before;
  CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const int free = dup(0);
  close(free);
  const rlimit none = {rlim_t(free), before.rlim_max};
  CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
  const sockaddr_un address = AddressOf(folder.File("socket"));
  const bool connected = connect(device.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  for (int i = 0; i < 5'000 && server.refused() == 0; ++i) usleep(1'000);
  usleep(300'000);
  const uint32_t tries = server.refused();
  CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(connected && tries >= 1 && tries < 100);  // at once again and again: many thousands
  pollfd answered = {device.get(), POLLIN, 0};
  CHECK(poll(&answered, 1, 5'000) == 1 && server.connected());
}

TEST_MAIN()
