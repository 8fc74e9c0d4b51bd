// Times as RFC 3339 writes them.

/// A time in UTC, such as `2026-11-29T01:02:03Z`.
enum Timestamp {
    /// Before 1970 and after 9999 there are only the ends of that.
    static func text(secondsSince1970 seconds: Int64) -> String {
        let seconds = Int(min(max(seconds, 0), 253_402_300_799))
        let (days, rest) = seconds.quotientAndRemainder(dividingBy: 86400)
        // Days of years that begin in March, in eras of 400 years.
        let (era, day) = (days + 719_468).quotientAndRemainder(dividingBy: 146_097)
        let year = (day - day / 1460 + day / 36524 - day / 146_096) / 365
        let dayOfYear = day - (365 * year + year / 4 - year / 100)
        let month = (5 * dayOfYear + 2) / 153
        let dayOfMonth = dayOfYear - (153 * month + 2) / 5 + 1
        let isNextYear = month >= 10
        let date = [
            padded(era * 400 + year + (isNextYear ? 1 : 0), 4),
            padded(isNextYear ? month - 9 : month + 3, 2), padded(dayOfMonth, 2)
        ]
        let time = [rest / 3600, rest / 60 % 60, rest % 60].map { padded($0, 2) }
        return date.joined(separator: "-") + "T" + time.joined(separator: ":") + "Z"
    }

    private static func padded(_ number: Int, _ width: Int) -> String {
        let digits = "\(number)"
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
