/*
 * What programs do with files, checked on a share. "share FOLDER NAME..." works in a folder and prints "NAME ok" for each
 * check, or says what is wrong and ends with 1.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition, ...)                                                   \
  do {                                                                          \
    if (!(condition)) {                                                         \
      printf("line %d: %s: ", __LINE__, #condition);                            \
      printf(__VA_ARGS__);                                                      \
      printf(" (errno %d)\n", errno);                                           \
      exit(1);                                                                  \
    }                                                                           \
  } while (0)

#define BYTES 12288

static int file_with(const char *name, const char *text, int flags) {
  int fd = open(name, O_RDWR | O_CREAT | flags, 0644);
  CHECK(fd >= 0, "%s", name);
  CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s", name);
  return fd;
}

static void is(const char *name, long size, int mode) {
  struct stat found;
  CHECK(stat(name, &found) == 0, "%s", name);
  CHECK(found.st_size == size && (found.st_mode & 07777) == (unsigned)mode, "%s: %ld bytes, mode %o", name,
        (long)found.st_size, found.st_mode & 07777);
}

static char *map(int fd, int protection) {
  char *at = mmap(NULL, BYTES, protection, MAP_SHARED, fd, 0);
  CHECK(at != MAP_FAILED, "protection %d", protection);
  return at;
}

static void reads(const char *name, off_t at, const char *text) {
  char found[64] = "";
  int fd = open(name, O_RDONLY);
  CHECK(fd >= 0, "%s", name);
  CHECK(pread(fd, found, strlen(text), at) == (ssize_t)strlen(text), "%s", name);
  CHECK(strcmp(found, text) == 0, "%s: \"%s\"", name, found);
  close(fd);
}

/* Every protection of a shared mapping, and what is stored is in the file after msync, munmap, exit and exec. */
static void mapping(void) {
  int fd = open("mapped", O_RDWR | O_CREAT | O_TRUNC, 0644);
  CHECK(fd >= 0 && ftruncate(fd, BYTES) == 0, "mapped");
  munmap(map(fd, PROT_READ), BYTES);
  munmap(map(fd, PROT_WRITE), BYTES);
  char *at = map(fd, PROT_READ | PROT_WRITE);
  strcpy(at + 4090, "across two pages");
  CHECK(msync(at, BYTES, MS_SYNC) == 0, "msync");
  reads("mapped", 4090, "across two pages");
  strcpy(at + 100, "not synced");
  CHECK(munmap(at, BYTES) == 0, "munmap");
  reads("mapped", 100, "not synced");
  pid_t child = fork();
  if (child == 0) {
    strcpy(map(fd, PROT_READ | PROT_WRITE) + 8192, "a child's");
    _exit(0);
  }
  CHECK(waitpid(child, NULL, 0) == child, "wait");
  reads("mapped", 8192, "a child's");
  is("mapped", BYTES, 0644);
  close(fd);
}

/* A mapping that was not stored to shows what is written (LMDB), and both of two mappings what is stored. */
static void coherence(void) {
  int fd = file_with("coherent", "old", O_TRUNC);
  CHECK(ftruncate(fd, BYTES) == 0, "coherent");
  char *one = map(fd, PROT_READ);
  CHECK(strcmp(one, "old") == 0, "%s", one);
  CHECK(pwrite(fd, "new", 3, 0) == 3, "write");
  CHECK(strcmp(one, "new") == 0, "%s", one);
  int other = open("coherent", O_RDWR);
  char *two = map(other, PROT_READ | PROT_WRITE);
  strcpy(two, "stored");
  CHECK(strcmp(one, "stored") == 0, "%s", one);
  munmap(one, BYTES);
  munmap(two, BYTES);
  close(fd);
  close(other);
  reads("coherent", 0, "stored");
}

/* As a linker makes its output: sized, mapped, filled, renamed into place, run. */
static void linking(void) {
  int self = open("/proc/self/exe", O_RDONLY);
  struct stat program;
  CHECK(self >= 0 && fstat(self, &program) == 0, "this program");
  int out = open("a.out.tmp", O_RDWR | O_CREAT | O_EXCL, 0700);
  CHECK(out >= 0 && ftruncate(out, program.st_size) == 0, "a.out.tmp");
  char *at = mmap(NULL, program.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, out, 0);
  CHECK(at != MAP_FAILED, "mmap");
  CHECK(read(self, at, program.st_size) == program.st_size, "read into the mapping");
  CHECK(munmap(at, program.st_size) == 0 && close(out) == 0, "munmap");
  CHECK(rename("a.out.tmp", "a.out") == 0, "rename");
  int status = system("./a.out .");
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "what was linked ends with %d", status);
  unlink("a.out");
}

/* An open file is that file, whatever has its name by now. */
static void change(int fd, int mode) {
  struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1100000000}};
  struct stat found;
  CHECK(ftruncate(fd, 2) == 0, "ftruncate");
  CHECK(fchmod(fd, mode) == 0, "fchmod");
  CHECK(fchown(fd, getuid(), getgid()) == 0, "fchown");
  CHECK(futimens(fd, times) == 0, "futimens");
  CHECK(fstat(fd, &found) == 0, "fstat");
  CHECK(found.st_size == 2 && (found.st_mode & 07777) == (unsigned)mode, "%ld bytes, mode %o",
        (long)found.st_size, found.st_mode & 07777);
  CHECK(found.st_mtim.tv_sec == 1100000000, "%ld", (long)found.st_mtim.tv_sec);
  char path[64], text[8] = "";
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int again = open(path, O_RDWR);
  CHECK(again >= 0, "%s", path);
  CHECK(pread(again, text, 8, 0) == 2 && strcmp(text, "ol") == 0, "%s", text);
  close(again);
}

static void identity(void) {
  const char *precious = "the new one, precious";
  int fd = file_with("x", "old", 0);
  CHECK(unlink("x") == 0, "unlink");
  change(fd, 0600);
  close(file_with("x", precious, O_EXCL));
  change(fd, 0);
  is("x", 21, 0644);
  close(fd);
  CHECK(unlink("x") == 0, "unlink");

  fd = file_with("x", "old", 0);
  close(file_with("y", precious, 0));
  CHECK(rename("y", "x") == 0, "rename");
  change(fd, 0);
  is("x", 21, 0644);
  close(fd);
  CHECK(unlink("x") == 0, "unlink");

  fd = file_with("x", "old", 0);
  CHECK(rename("x", "z") == 0, "rename");
  close(file_with("x", precious, 0));
  change(fd, 0604);
  is("x", 21, 0644);
  is("z", 2, 0604);
  close(fd);

  CHECK(mkdir("d", 0755) == 0, "mkdir");
  fd = file_with("d/x", "old", 0);
  CHECK(rename("d", "e") == 0 && mkdir("d", 0755) == 0, "rename");
  close(file_with("d/x", precious, 0));
  change(fd, 0640);
  is("d/x", 21, 0644);
  is("e/x", 2, 0640);
  close(fd);

  fd = file_with("h", "old", 0);
  CHECK(link("h", "i") == 0 && unlink("h") == 0, "link");
  close(file_with("h", precious, 0));
  change(fd, 0606);
  is("h", 21, 0644);
  is("i", 2, 0606);
  close(fd);

  int directory = open("d", O_RDONLY | O_DIRECTORY);
  CHECK(unlink("d/x") == 0 && rmdir("d") == 0 && mkdir("d", 0711) == 0, "rmdir");
  struct stat found;
  CHECK(fchmod(directory, 0700) == 0 && fstat(directory, &found) == 0, "fchmod");
  CHECK((found.st_mode & 07777) == 0700, "mode %o", found.st_mode);
  CHECK(stat("d", &found) == 0 && (found.st_mode & 07777) == 0711, "mode %o", found.st_mode);
  close(directory);
}

/* Names are bytes. */
static void names(void) {
  const char *odd[] = {"caf\xe9", "\xff\xfe", "\xc3\xbc", "\x80 \x01\n"};
  char moved[64], path[64];
  for (unsigned i = 0; i < sizeof odd / sizeof *odd; i++) {
    close(file_with(odd[i], "text", O_EXCL));
    is(odd[i], 4, 0644);
    int seen = 0;
    DIR *here = opendir(".");
    for (struct dirent *entry; (entry = readdir(here)) != NULL;) seen += strcmp(entry->d_name, odd[i]) == 0;
    closedir(here);
    CHECK(seen == 1, "name %u is listed %d times", i, seen);
    snprintf(moved, sizeof moved, "%s moved", odd[i]);
    CHECK(rename(odd[i], moved) == 0, "name %u", i);
    CHECK(symlink(moved, odd[i]) == 0, "name %u", i);
    reads(odd[i], 0, "text");
    memset(path, 0, sizeof path);
    CHECK(readlink(odd[i], path, sizeof path) == (ssize_t)strlen(moved) && strcmp(path, moved) == 0, "name %u", i);
    CHECK(unlink(odd[i]) == 0 && unlink(moved) == 0, "name %u", i);
    CHECK(mkdir(odd[i], 0755) == 0 && rmdir(odd[i]) == 0, "name %u", i);
  }
}

/* A lock keeps other processes out, and not its own. */
static void locks(void) {
  struct flock whole = {.l_type = F_WRLCK};
  int fd = file_with("locked", "", O_TRUNC), other = open("locked", O_RDWR);
  CHECK(fcntl(fd, F_SETLK, &whole) == 0 && fcntl(other, F_SETLK, &whole) == 0, "fcntl");
  pid_t child = fork();
  if (child == 0) _exit(fcntl(other, F_SETLK, &whole) == 0);
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child && status == 0, "another process has the lock, too");
  close(fd);
  close(other);
  fd = open("locked", O_RDWR), other = open("locked", O_RDWR);
  CHECK(flock(fd, LOCK_EX) == 0 && flock(fd, LOCK_SH) == 0 && flock(fd, LOCK_EX) == 0, "flock");
  CHECK(flock(other, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK, "two have the lock");
  CHECK(flock(fd, LOCK_UN) == 0 && flock(other, LOCK_EX | LOCK_NB) == 0, "flock");
  close(fd);
  close(other);
}

static const struct {
  const char *name;
  void (*check)(void);
} CHECKS[] = {{"mapping", mapping},   {"coherence", coherence}, {"linking", linking},
              {"identity", identity}, {"names", names},         {"locks", locks}};

int main(int count, char **words) {
  umask(022);
  if (count < 2 || chdir(words[1]) != 0) return 2;
  for (int i = 2; i < count; i++)
    for (unsigned j = 0; j < sizeof CHECKS / sizeof *CHECKS; j++)
      if (strcmp(words[i], CHECKS[j].name) == 0) {
        CHECKS[j].check();
        printf("%s ok\n", words[i]);
        fflush(stdout);
      }
  return 0;
}
