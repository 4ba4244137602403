/*
 * raii.cpp - the library from C++17: handles that close themselves, errors as exceptions, entries as a range.
 *
 *     c++ -std=c++17 raii.cpp $(pkg-config --cflags --libs walrus) -o raii
 *     ./raii data greetings hello world
 *
 * What to copy: the four classes of namespace `wal`. They are thin: every call of walrus.h still works on get().
 */
#include <cstdint>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <walrus/walrus.h>

namespace wal
{

class error : public std::runtime_error
{
  public:
    explicit error(const walrus_error &what) : std::runtime_error(what.message), details(what)
    {
    }
    walrus_code code() const
    {
        return details.code;
    }
    walrus_error details; // errno, and where in the files
};

// check([&](walrus_error *e) { return walrus_...(..., e); }) throws what the call reports.
template <typename Call> void check(Call &&call)
{
    walrus_error failure;
    if (call(&failure) != WALRUS_OK)
        throw error(failure);
}

class topic
{
  public:
    topic(walrus_log *log, const std::string &name, unsigned flags = WALRUS_CREATE | WALRUS_CREATE_PARENTS)
    {
        walrus_topic *opened = nullptr;
        check([&](walrus_error *e) { return walrus_topic_open(log, name.c_str(), flags, nullptr, &opened, e); });
        handle.reset(opened);
    }
    walrus_topic *get() const
    {
        return handle.get();
    }

    walrus_receipt append(std::string_view data, unsigned flags = 0)
    {
        walrus_receipt receipt{};
        check([&](walrus_error *e) { return walrus_append(get(), data.data(), data.size(), flags, &receipt, e); });
        return receipt;
    }

    // All or none.
    walrus_receipt append_batch(const std::vector<std::string> &entries, unsigned flags = 0)
    {
        std::vector<walrus_slice> slices;
        for (const std::string &entry : entries)
            slices.push_back({entry.data(), entry.size()});
        walrus_receipt receipt{};
        check([&](walrus_error *e) {
            return walrus_append_batch(get(), slices.data(), slices.size(), flags, &receipt, e);
        });
        return receipt;
    }

  private:
    struct closer {
        void operator()(walrus_topic *topic) const
        {
            walrus_topic_close(topic);
        }
    };
    std::unique_ptr<walrus_topic, closer> handle;
};

class log
{
  public:
    explicit log(const std::string &directory)
    {
        walrus_options options;
        walrus_log *opened = nullptr;
        check([&](walrus_error *e) { return walrus_options_init(&options, e); });
        options.data_dir = directory.c_str();
        check([&](walrus_error *e) { return walrus_open(&options, &opened, e); });
        handle.reset(opened);
    }
    walrus_log *get() const
    {
        return handle.get();
    }

    // A destructor has nobody to tell that the last sync failed. Who wants to know calls this.
    void close()
    {
        check([&](walrus_error *e) { return walrus_close(handle.release(), e); });
    }

  private:
    struct closer {
        void operator()(walrus_log *log) const
        {
            walrus_close(log, nullptr);
        }
    };
    std::unique_ptr<walrus_log, closer> handle;
};

// Reads a topic from a position on, many entries a call. The views that next() returns hold until the next call of it.
class reader
{
  public:
    explicit reader(const topic &from, walrus_position at = walrus_position{}) : source(from.get()), position(at)
    {
        limits.max_bytes = 1 << 20;
    }
    ~reader()
    {
        walrus_entries_free(&entries);
    }
    reader(const reader &) = delete;
    reader &operator=(const reader &) = delete;

    // False at the end, where a later call may find more.
    bool next(std::uint64_t &sequence, std::string_view &data)
    {
        if (taken == entries.count) {
            check([&](walrus_error *e) { return read(e); });
            taken = 0;
            if (entries.count == 0)
                return false;
        }
        const walrus_entry &entry = entries.items[taken++];
        sequence = entry.sequence;
        data = {static_cast<const char *>(entry.data), entry.length};
        return true;
    }

  private:
    walrus_code read(walrus_error *e)
    {
        walrus_code code = walrus_read_entries(source, &position, &limits, &entries, e);
        struct walrus_topic_info info; // `struct`, since a call has the same name
        if (code != WALRUS_E_RANGE || walrus_topic_info(source, &info, e) != WALRUS_OK)
            return code;
        // Retention has freed what stood at the position: the first entry there is comes next.
        code = walrus_seek_sequence(source, info.first_sequence, &position, e);
        return code == WALRUS_OK ? walrus_read_entries(source, &position, &limits, &entries, e) : code;
    }

    walrus_topic *source;
    walrus_position position;
    walrus_read_limits limits{};
    walrus_entries entries{};
    std::size_t taken = 0;
};

} // namespace wal

int main(int argc, char **argv)
{
    if (argc < 4) {
        std::cerr << "usage: raii DIRECTORY TOPIC ENTRY...\n";
        return 64;
    }
    try {
        wal::log log(argv[1]);
        {
            wal::topic topic(log.get(), argv[2]); // before the log is closed, its handles are
            topic.append_batch(std::vector<std::string>(argv + 3, argv + argc));
            topic.append("the end", WALRUS_DURABLE);

            wal::reader reader(topic);
            std::uint64_t sequence;
            std::string_view data;
            while (reader.next(sequence, data))
                std::cout << sequence << ": " << data << '\n';
        }
        try {
            wal::topic missing(log.get(), "there/is/no/such/topic", 0);
        } catch (const wal::error &error) {
            std::cout << walrus_code_name(error.code()) << ": " << error.what() << '\n';
        }
        log.close();
    } catch (const wal::error &error) {
        std::cerr << "raii: " << error.what() << '\n';
        return 1;
    }
    return 0;
}
