// The time, for templates that begin with a date.

/// The time that a template sees: UTC.
package struct JinjaClock: Sendable {
    private let year: Int
    private let month: Int
    private let day: Int
    private let secondOfDay: Int
    /// From 0, Sunday.
    private let weekday: Int
    /// From 1.
    private let dayOfYear: Int

    package init(secondsSince1970 seconds: Int) {
        let seconds = min(max(seconds, 0), 253_402_300_799)
        let days = seconds / 86_400
        secondOfDay = seconds % 86_400
        weekday = (days + 4) % 7
        // Days from 1 March of the year 0, in eras of 400 years.
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayFromMarch = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayFromMarch + 2) / 153
        day = dayFromMarch - (153 * monthFromMarch + 2) / 5 + 1
        month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]
        dayOfYear = before[month - 1] + day + (isLeap && month > 2 ? 1 : 0)
    }

    private static let months = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September",
        "October", "November", "December"
    ]
    private static let weekdays = [
        "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"
    ]

    /// C's `strftime`, in the language of the C locale; directives that are unknown stay.
    func formatted(_ format: MarkedText) -> MarkedText {
        var result = MarkedText()
        var offset = 0
        while offset < format.count {
            let isOutside = format.isOutside(at: offset)
            if format.bytes[offset] == UInt8(ascii: "%"), offset + 1 < format.count {
                var next = format.bytes[offset + 1]
                var length = 2
                let isUnpadded = next == UInt8(ascii: "-") && offset + 2 < format.count
                if isUnpadded {
                    next = format.bytes[offset + 2]
                    length = 3
                }
                if next < 0x80, let text = directive(Unicode.Scalar(next), isUnpadded) {
                    result.append(text, isOutside: isOutside)
                    offset += length
                    continue
                }
            }
            result.append(format.bytes[offset], isOutside: isOutside)
            offset += 1
        }
        return result
    }

    private func directive(_ letter: Unicode.Scalar, _ isUnpadded: Bool) -> String? {
        func padded(_ value: Int, _ digits: Int = 2) -> String {
            let text = "\(value)"
            if isUnpadded { return text }
            return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
        }
        let hour = secondOfDay / 3600
        switch letter {
        case "Y": return padded(year, 4)
        case "y": return padded(year % 100)
        case "m": return padded(month)
        case "d": return padded(day)
        case "e": return day < 10 && !isUnpadded ? " \(day)" : "\(day)"
        case "j": return padded(dayOfYear, 3)
        case "H": return padded(hour)
        case "I": return padded((hour + 11) % 12 + 1)
        case "M": return padded(secondOfDay / 60 % 60)
        case "S": return padded(secondOfDay % 60)
        case "p": return hour < 12 ? "AM" : "PM"
        case "B": return Self.months[month - 1]
        case "b", "h": return String(Self.months[month - 1].prefix(3))
        case "A": return Self.weekdays[weekday]
        case "a": return String(Self.weekdays[weekday].prefix(3))
        case "F": return "\(padded(year, 4))-\(padded(month))-\(padded(day))"
        case "T":
            let parts = [hour, secondOfDay / 60 % 60, secondOfDay % 60]
            return parts.map { padded($0) }.joined(separator: ":")
        case "Z": return "UTC"
        case "%": return "%"
        default: return nil
        }
    }
}
