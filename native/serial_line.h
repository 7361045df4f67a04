// A serial line as a stream of bytes: opened for reading and set so that the terminal driver changes nothing.
#pragma once

#include <cstdint>
#include <string>

namespace qkme {

/// Opens the terminal `path` for reading, not as anybody's controlling terminal, and makes it raw (termios(3)): no echo, no lines, no
/// signals, no flow control by bytes, eight bits, modem lines ignored. What came before the mode was set is thrown away.
/// `baud` 0 leaves the speed as it is. Returns the descriptor, non-blocking; the caller closes it.
/// Or -1, with what went wrong and what to do in `error`.
int OpenSerialLine(const std::string& path, uint32_t baud, std::string* error);

}  // namespace qkme
