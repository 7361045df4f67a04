#include "vault/key_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "vault/error.h"
#include "vault/locked_memory.h"

namespace qkme::vault {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

std::string Folder(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

[[noreturn]] void FailWrite(const std::string& path, int cause) {
  throw VaultError(cause == ENOSPC || cause == EDQUOT ? "STORE_FULL" : "STORE_UNAVAILABLE",
                   "cannot write the key file " + path + ": " + std::strerror(cause));
}

// True if everything is written and flushed; errno tells why not.
bool WriteAll(int fd, const uint8_t* bytes, size_t length) {
  while (length > 0) {
    const ssize_t n = write(fd, bytes, length);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes += n;
    length -= static_cast<size_t>(n);
  }
  return fsync(fd) == 0;
}

}  // namespace

void CreateSecretFile(const std::string& path, const uint8_t* bytes, size_t length) {
  const Descriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (file.get() < 0 && errno == EEXIST) {
    throw VaultError("MASTER_KEY_WRONG", "the key file " + path + " exists already and is not overwritten: remove it yourself if nothing depends on it");
  }
  if (file.get() < 0) FailWrite(path, errno);
  if (!WriteAll(file.get(), bytes, length)) {
    const int cause = errno;
    unlink(path.c_str());
    FailWrite(path, cause);
  }
  const Descriptor folder(open(Folder(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0 || fsync(folder.get()) != 0) FailWrite(path, errno);
}

size_t ReadSecretFile(const std::string& path, uint8_t* out, size_t capacity) {
  // Not blocking: a FIFO in the place of a file must not hang the start.
  const Descriptor file(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) {
    const int cause = errno;
    if (cause == ELOOP) throw VaultError("MASTER_KEY_WRONG", path + " is a symbolic link: name the file itself");
    throw VaultError("MASTER_KEY_MISSING", "cannot open " + path + ": " + std::strerror(cause));
  }
  struct stat status;
  if (fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    throw VaultError("MASTER_KEY_WRONG", path + " is not a regular file");
  }
  if ((status.st_mode & 07177) != 0) {
    throw VaultError("MASTER_KEY_WRONG", path + " may be used by others: run chmod 600 on it (and think about who has read it)");
  }
  if (status.st_uid != geteuid() && status.st_uid != 0) {
    throw VaultError("MASTER_KEY_WRONG", path + " belongs to another user: it must belong to the user that runs qkme, or to root");
  }
  if (status.st_size < 1 || static_cast<uint64_t>(status.st_size) > capacity) {
    throw VaultError("MASTER_KEY_WRONG", path + " has " + std::to_string(status.st_size) + " bytes; 1 to " + std::to_string(capacity) + " are expected");
  }
  size_t done = 0;
  while (done < static_cast<size_t>(status.st_size)) {
    const ssize_t n = read(file.get(), out + done, static_cast<size_t>(status.st_size) - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const int cause = n < 0 ? errno : EIO;
      Wipe(out, done);
      throw VaultError("MASTER_KEY_MISSING", "cannot read " + path + ": " + std::strerror(cause));
    }
    done += static_cast<size_t>(n);
  }
  return done;
}

}  // namespace qkme::vault
