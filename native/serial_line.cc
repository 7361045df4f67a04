#include "serial_line.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace qkme {
namespace {

struct Speed {
  uint32_t baud;
  speed_t code;
};

constexpr Speed kSpeeds[] = {
    {1200, B1200},       {2400, B2400},       {4800, B4800},       {9600, B9600},       {19200, B19200},     {38400, B38400},
    {57600, B57600},     {115200, B115200},   {230400, B230400},   {460800, B460800},   {500000, B500000},   {576000, B576000},
    {921600, B921600},   {1000000, B1000000}, {1152000, B1152000}, {1500000, B1500000}, {2000000, B2000000}, {2500000, B2500000},
    {3000000, B3000000}, {3500000, B3500000}, {4000000, B4000000},
};

const Speed* SpeedOf(uint32_t baud) {
  for (const Speed& speed : kSpeeds) if (speed.baud == baud) return &speed;
  return nullptr;
}

/// Empty if the line is raw now, else what failed.
std::string MakeRaw(int fd, uint32_t baud) {
  termios line;
  if (tcgetattr(fd, &line) != 0) return std::string("is no serial line: ") + std::strerror(errno);
  cfmakeraw(&line);
  line.c_iflag &= ~tcflag_t{IXOFF | IXANY | INPCK};
  line.c_cflag |= CLOCAL | CREAD;
  line.c_cc[VMIN] = 1;
  line.c_cc[VTIME] = 0;
  if (baud != 0) {
    const Speed* const speed = SpeedOf(baud);
    if (speed == nullptr) return "cannot run at " + std::to_string(baud) + " baud: choose a usual speed, 1200 to 4000000";
    if (cfsetspeed(&line, speed->code) != 0) return std::string("refuses its speed: ") + std::strerror(errno);
  }
  if (tcsetattr(fd, TCSAFLUSH, &line) != 0) return std::string("cannot be set up: ") + std::strerror(errno);
  // tcsetattr succeeds when anything of it could be done.
  termios now;
  if (tcgetattr(fd, &now) != 0) return std::string("cannot be asked: ") + std::strerror(errno);
  if ((now.c_lflag & (ICANON | ECHO | ISIG)) != 0 || (now.c_iflag & (ICRNL | IXON | ISTRIP)) != 0) return "does not become raw";
  if (baud != 0 && cfgetispeed(&now) != cfgetispeed(&line)) return "does not take a speed of " + std::to_string(baud) + " baud";
  return {};
}

}  // namespace

int OpenSerialLine(const std::string& path, uint32_t baud, std::string* error) {
  const int fd = open(path.c_str(), O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) {
    *error = path + " cannot be opened: " + std::strerror(errno);
    return -1;
  }
  const std::string failure = MakeRaw(fd, baud);
  if (failure.empty()) return fd;
  close(fd);
  *error = path + " " + failure;
  return -1;
}

}  // namespace qkme
